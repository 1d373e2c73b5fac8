"""Asking with retries: what fails goes back into the stream, a bounded number of times, and is never lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from skutune.engines.base import Request, Result, Sampling
from skutune.stages.base import WorkItem
from skutune.stages.llm import MalformedError, Prompt, generate_rows


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


class Picky:
    def __init__(self, temperature: float = 0.5) -> None:
        self.temperature = temperature

    def prompt(self, item: WorkItem) -> Prompt:
        return Prompt(({"role": "user", "content": item.id},), Sampling(8, self.temperature))

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Any]:
        if result.text != "good":
            raise MalformedError("it is bad")
        return [(item.id, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Any]:
        return [(item.id, attempt, reason)]


def _items(*ids: str) -> list[WorkItem]:
    return [WorkItem(each, each, None) for each in ids]


def test_each_item_comes_back_once_with_its_attempt() -> None:
    made = list(generate_rows(Echo(), Picky(), _items("a1", "b2", "c3", "d1"), attempts=3))
    assert sorted(row for each in made for row in each.rows) == [
        ("a1", 1, None),
        ("b2", 2, None),
        ("c3", 3, None),
        ("d1", 1, None),
    ]


def test_an_item_that_never_comes_out_right_is_kept_with_its_reason() -> None:
    made = list(generate_rows(Echo(), Picky(), _items("a9", "b1"), attempts=3))
    rows = {row[0]: row for each in made for row in each.rows}
    assert rows["a9"] == ("a9", 3, "it is bad")
    assert rows["b1"] == ("b1", 1, None)


def test_retries_cost_tokens_that_are_counted() -> None:
    (made,) = generate_rows(Echo(), Picky(), _items("a3"), attempts=3)
    assert (made.prompt_tokens, made.completion_tokens) == (15, 9)


def test_a_retry_joins_the_stream_that_is_being_read() -> None:
    engine = Echo()
    list(generate_rows(engine, Picky(), _items("a2", "b1", "c1", "d1", "e1"), attempts=2))
    assert engine.asked.index("a2#2") < engine.asked.index("e1#1")


def test_a_greedy_retry_is_drawn_so_that_it_can_differ() -> None:
    engine = Echo()
    list(generate_rows(engine, Picky(temperature=0), _items("a2"), attempts=2))
    assert engine.temperatures[0] == 0
    assert engine.temperatures[1] > 0


def test_items_are_taken_lazily() -> None:
    taken: list[str] = []

    def items() -> Iterator[WorkItem]:
        for number in range(100):
            taken.append(str(number))
            yield WorkItem(f"{number}-1", "", None)

    stream = generate_rows(Echo(), Picky(), items(), attempts=1)
    next(stream)
    assert len(taken) <= 2


def test_a_key_changes_with_everything_that_a_row_is_made_from() -> None:
    prompt = Prompt(({"role": "user", "content": "a"},), Sampling(8))
    keys = {
        prompt.key("describe", "1", "model"),
        prompt.key("expand", "1", "model"),
        prompt.key("describe", "2", "model"),
        prompt.key("describe", "1", "other"),
        Prompt(({"role": "user", "content": "b"},), Sampling(8)).key("describe", "1", "model"),
        Prompt(prompt.messages, Sampling(9)).key("describe", "1", "model"),
        Prompt(prompt.messages, Sampling(8, 0.1)).key("describe", "1", "model"),
        Prompt(prompt.messages, Sampling(8), {"type": "array"}).key("describe", "1", "model"),
    }
    assert len(keys) == 8
