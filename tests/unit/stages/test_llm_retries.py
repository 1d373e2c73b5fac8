"""Asking with retries: what fails goes back into the stream, a bounded number of times, and is never lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from skutune.engines.base import Request, Result, Sampling
from skutune.stages.base import Prompt, WorkItem
from skutune.stages.llm import MalformedError, generate_rows, row_key

PROMPT = Prompt(({"role": "user", "content": "a"},))


class Echo:
    """An engine of two slots that answers `good` once an item was asked as often as its id says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.temperatures: list[float] = []

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        stream = iter(requests)
        while window := [request for request in (next(stream, None), next(stream, None)) if request]:
            for request in reversed(window):
                self.asked.append(request.id)
                self.temperatures.append(request.sampling.temperature)
                item, attempt = request.id.split("#")
                yield Result(request.id, "good" if int(attempt) >= int(item[-1]) else "bad", "stop", 5, 3)

    def close(self) -> None:
        return


class FullContext(Echo):
    """An engine whose context is filled by every prompt."""

    context = 256

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            self.asked.append(request.id)
            yield Result(request.id, "", "context", 3412, 0)


class Picky:
    name = "describe"

    def __init__(self, attempts: int, temperature: float = 0.5) -> None:
        self.attempts, self.sampling = attempts, Sampling(8, temperature)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Any]:
        if result.text != "good":
            raise MalformedError("it is bad")
        return [(item.id, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Any]:
        return [(item.id, attempt, reason)]


def _items(*ids: str) -> list[WorkItem]:
    return [WorkItem(each, each, None, PROMPT) for each in ids]


def test_each_item_comes_back_once_with_its_attempt() -> None:
    made = list(generate_rows(Echo(), Picky(3), _items("a1", "b2", "c3", "d1")))
    assert sorted(row for each in made for row in each.rows) == [
        ("a1", 1, None),
        ("b2", 2, None),
        ("c3", 3, None),
        ("d1", 1, None),
    ]


def test_an_item_that_never_comes_out_right_is_kept_with_its_reason() -> None:
    made = list(generate_rows(Echo(), Picky(3), _items("a9", "b1")))
    rows = {row[0]: row for each in made for row in each.rows}
    assert rows["a9"] == ("a9", 3, "it is bad")
    assert rows["b1"] == ("b1", 1, None)


def test_retries_cost_tokens_that_are_counted() -> None:
    (made,) = generate_rows(Echo(), Picky(3), _items("a3"))
    assert (made.prompt_tokens, made.completion_tokens) == (15, 9)


def test_a_retry_joins_the_stream_that_is_being_read() -> None:
    engine = Echo()
    list(generate_rows(engine, Picky(2), _items("a2", "b1", "c1", "d1", "e1")))
    assert engine.asked.index("a2#2") < engine.asked.index("e1#1")


def test_a_greedy_retry_is_drawn_so_that_it_can_differ() -> None:
    engine = Echo()
    list(generate_rows(engine, Picky(2, temperature=0), _items("a2")))
    assert engine.temperatures[0] == 0
    assert engine.temperatures[1] > 0


def test_items_are_taken_lazily() -> None:
    taken: list[str] = []

    def items() -> Iterator[WorkItem]:
        for number in range(100):
            taken.append(str(number))
            yield WorkItem(f"{number}-1", "", None, PROMPT)

    stream = generate_rows(Echo(), Picky(1), items())
    next(stream)
    assert len(taken) <= 2


def test_an_item_without_a_prompt_is_rejected_for_its_reason_and_never_asked() -> None:
    engine = Echo()
    items = [WorkItem("a1", "a1", None, None, "link: no product"), *_items("b1"), WorkItem("c1", "c1", None, None, "x")]
    rows = [row for result in generate_rows(engine, Picky(3), items) for row in result.rows]
    assert sorted(rows) == [("a1", 0, "link: no product"), ("b1", 1, None), ("c1", 0, "x")]
    assert engine.asked == ["b1#1"]


def test_a_prompt_that_exceeds_the_context_is_rejected_with_the_numbers_and_not_tried_again() -> None:
    engine = FullContext()
    ((row,),) = (result.rows for result in generate_rows(engine, Picky(3), _items("a1")))
    assert row[:2] == ("a1", 0)
    assert row[2] == (
        "the prompt has 3,412 tokens; with stages.describe.sampling.max_tokens 8 that exceeds the context of 256 "
        "tokens (models.generator.context)"
    )
    assert engine.asked == ["a1#1"]


def test_a_key_changes_with_everything_that_a_row_is_made_from() -> None:
    sampling = Sampling(8)
    keys = {
        row_key("describe", "1", "model", PROMPT, sampling),
        row_key("expand", "1", "model", PROMPT, sampling),
        row_key("describe", "2", "model", PROMPT, sampling),
        row_key("describe", "1", "other", PROMPT, sampling),
        row_key("describe", "1", "model", Prompt(({"role": "user", "content": "b"},)), sampling),
        row_key("describe", "1", "model", PROMPT, Sampling(9)),
        row_key("describe", "1", "model", PROMPT, Sampling(8, 0.1)),
        row_key("describe", "1", "model", Prompt(PROMPT.messages, {"type": "array"}), sampling),
        row_key("describe", "1", "model", "not asked", sampling),
    }
    assert len(keys) == 9
