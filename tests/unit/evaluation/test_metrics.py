"""Answers are judged by what they name, and a model by its answers."""

import json
from dataclasses import asdict

import pytest

from skutune.answers import AnswerText, Item, Reference, render
from skutune.evaluation.metrics import compare, judge, references_of, summarise
from skutune.evaluation.rates import rate
from skutune.records import Evaluated

CATALOG = {"1": "Baked Beans", "2": "Coleslaw", "3": "Half & Half (1:2: id)"}


def answer(*products):
    items = tuple(Item("Something", "Tastes good.", product) for product in products)
    return render(AnswerText("Try these.", items, "Enjoy."))


def row(model, question, text, source, split="held_out_question"):
    found = judge(text, source, CATALOG)
    return Evaluated(
        question_id=question, split=split, model=model, question="?", expected="", answer=text, parses=found.parses,
        references=found.references, ids_in_catalog=found.ids_in_catalog, names_agree=found.names_agree,
        names_source=found.names_source, seconds=1.0,
    )  # fmt: skip


def test_an_answer_in_the_format_is_read_exactly():
    found = judge(answer(Reference("1", "Baked Beans"), None, Reference("3", CATALOG["3"])), "1", CATALOG)
    assert (found.parses, found.ids, found.no_product) == (True, ("1", "3"), 1)
    assert (found.references, found.ids_in_catalog, found.names_agree, found.names_source) == (2, 2, 2, True)


def test_a_real_id_under_another_products_name_does_not_agree():
    found = judge(answer(Reference("2", "Baked Beans")), "2", CATALOG)
    assert (found.ids_in_catalog, found.names_agree, found.names_source) == (1, 0, False)


def test_an_invented_id_is_not_in_the_catalog():
    found = judge(answer(Reference("999", "Baked Beans")), "1", CATALOG)
    assert (found.references, found.ids_in_catalog, found.names_agree) == (1, 0, 0)


def test_names_agree_whatever_their_case():
    assert judge(answer(Reference("1", "BAKED beans.")), "1", CATALOG).names_agree == 1


@pytest.mark.parametrize(
    "text",
    [
        "Sure! (closest product: Baked Beans: id 1)",
        "(Closest Product: Baked Beans: ID 1)\nand more",
        "* Beans\n(closest product : Baked Beans, id: 1",
        "(closest product: Baked Beans id 1)",
        "(closest product: Baked Beans: id #1).",
        "You want (closest product: Baked Beans: id 1) with it.",
    ],
)
def test_references_in_broken_format_are_found(text):
    parses, references = references_of(text)
    assert not parses
    assert references == (Reference("1", "Baked Beans"),)


def test_order_is_kept_in_broken_format():
    _, references = references_of("(closest product: A: id 1)\n(no close product)\n(closest product: B: id 2)")
    assert references == (Reference("1", "A"), None, Reference("2", "B"))


def test_prose_without_references_has_none():
    assert references_of("Beans go well with rice. My id is 5.") == (False, ())


def test_a_model_that_always_says_the_same_shows_it():
    beans = answer(Reference("1", "Baked Beans"))
    rows = [row("tuned", "a/1", beans, "1"), row("tuned", "b/1", beans, "2"), row("tuned", "c/1", beans, "3")]
    summary = summarise("tuned", "held_out_question", rows, {"a/1": "1", "b/1": "2", "c/1": "3"})
    assert (summary.distinct_ids, summary.top_id, summary.top_share) == (1, "1", 1.0)
    assert (summary.coverage.hits, summary.coverage.trials) == (1, 3)
    assert summary.names_source.hits == 1


def test_base_and_tuned_stand_side_by_side_for_each_split():
    rows = [
        row("base", "a/1", "I like beans.", "1"),
        row("tuned", "a/1", answer(Reference("1", "Baked Beans")), "1"),
        row("tuned", "b/1", answer(None), "2", split="held_out_product"),
    ]
    product, question = compare(rows, {"a/1": "1", "b/1": "2"})
    assert (product.split, question.split) == ("held_out_product", "held_out_question")
    assert product.base is None
    assert product.tuned.no_product.rate == 1.0
    assert (question.base.parses.hits, question.tuned.parses.hits) == (0, 1)
    json.dumps([asdict(product), asdict(question)], allow_nan=False)


def test_a_rate_without_trials_is_unknown():
    assert rate(0, 0).rate is None
    assert (rate(0, 0).low, rate(0, 0).high) == (0.0, 1.0)


def test_wilson_intervals_match_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert (rate(81, 263).low, rate(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (rate(15, 148).low, rate(15, 148).high) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert (rate(0, 20).low, rate(0, 20).high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert (rate(1, 29).low, rate(1, 29).high) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_more_hits_than_trials_are_refused():
    with pytest.raises(ValueError, match="3 hits in 2 trials"):
        rate(3, 2)
