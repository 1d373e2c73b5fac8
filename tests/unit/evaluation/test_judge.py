"""A judge gives one verdict for each pair of question and product, and is itself compared with people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from skutune.engines.base import Request, Result
from skutune.errors import InputError
from skutune.evaluation.judge import judge_pairs, measure_agreement, pairs_of, read_labels, read_verdict
from skutune.prompts import judge as prompts

BEANS, SOAP = ("What goes with rice?", "Baked Beans"), ("What goes with rice?", "Dish Soap")


class Opinionated:
    """Answers by what it is asked about, last first; it has seen nothing but its requests."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers, self.asked = answers, list[Request]()

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        self.asked = list(requests)
        for request in reversed(self.asked):
            user = request.messages[-1]["content"]
            text = next(text for name, text in self.answers.items() if name in user)
            yield Result(request.id, text, "stop", 10, 5)

    def close(self) -> None:
        """Nothing to free."""


def test_a_pair_that_comes_again_is_asked_once_and_verdicts_find_their_pairs() -> None:
    engine = Opinionated({"Baked Beans": '{"good": "yes"}', "Dish Soap": '{"good": "no"}'})
    judged = judge_pairs(engine, [BEANS, SOAP, BEANS])
    assert judged.verdicts == {BEANS: True, SOAP: False}
    assert (judged.asked, len(engine.asked)) == (2, 2)
    assert all(request.sampling.temperature == 0 and request.schema == prompts.SCHEMA for request in engine.asked)


def test_what_cannot_be_read_is_no_verdict_and_is_counted() -> None:
    engine = Opinionated({"Baked Beans": '{"good": "ye', "Dish Soap": '{"good": "no"}'})
    judged = judge_pairs(engine, [BEANS, SOAP])
    assert (judged.verdicts, judged.asked) == ({SOAP: False}, 2)


@pytest.mark.parametrize("text", ["", "yes", "[]", "{}", '{"good": "maybe"}', '{"good": true}', '{"good": ["yes"]}'])
def test_only_the_json_that_was_asked_for_is_a_verdict(text: str) -> None:
    assert read_verdict(text) is None


def test_the_prompts_examples_answer_as_the_schema_says() -> None:
    for _, answered in prompts.EXAMPLES:
        assert read_verdict(answered) is not None
    assert {read_verdict(answered) for _, answered in prompts.EXAMPLES} == {True, False}


def test_agreement_is_over_what_was_labelled_and_judged() -> None:
    verdicts = {BEANS: True, SOAP: False, ("Other?", "Ale"): True}
    found = measure_agreement(verdicts, {BEANS: True, SOAP: True, ("Never?", "Judged"): False})
    assert (found.labels, found.agrees.hits, found.agrees.trials) == (3, 1, 2)


def test_kappa_is_what_agreement_is_worth_beyond_chance() -> None:
    pairs = [(f"Question {number}?", "Ale") for number in range(50)]
    # Both yes 20 times, both no 15, only the first 5, only the second 10: kappa is 0.4 (a textbook's table).
    labels = {pair: place < 25 for place, pair in enumerate(pairs)}
    verdicts = {pair: place < 20 or 25 <= place < 35 for place, pair in enumerate(pairs)}
    assert measure_agreement(verdicts, labels).kappa == pytest.approx(0.4)
    assert measure_agreement(labels, labels).kappa == 1.0
    assert measure_agreement(dict.fromkeys(pairs, True), dict.fromkeys(pairs, True)).kappa is None
    assert measure_agreement({}, labels).agrees.rate is None


def test_only_products_of_the_catalog_are_judged_and_each_once() -> None:
    assert pairs_of(" What\ngoes? ", ["1", "9", "1"], {"1": "Ale"}) == [("What goes?", "Ale")]


def test_labels_are_read_with_spaces_folded(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps({"question": " What  goes? ", "product": "Ale", "verdict": "Yes"}) + "\n\n")
    assert read_labels(path) == {("What goes?", "Ale"): True}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "contains no verdicts"),
        ("not json\n", "line 1"),
        ('{"question": "a", "product": "b", "verdict": "no"}\n{"question": "a", "verdict": "no"}\n', "line 2"),
        ('{"question": "a", "product": "b", "verdict": "perhaps"}', "line 1"),
        ("[1]", "line 1"),
    ],
)
def test_lines_that_are_no_verdicts_are_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"stages\.evaluate\.judge\.labels") as caught:
        read_labels(path)
    assert told in str(caught.value) + " ".join(problem.where for problem in caught.value.problems)


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "labels.jsonl", tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot be read as text"):
            read_labels(path)
