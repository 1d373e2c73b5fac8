"""A system is measured by its answers, each split by itself, and tuned against base on the same questions."""

import json

import pytest
from finished import Rows, answer, evaluated

from skutune.config.schema import SYSTEMS
from skutune.evaluation.document import JudgeFigures, document
from skutune.evaluation.metrics import gains, gini, results

ROWS = Rows()
CATALOG = {ROWS.product(place).id: name for place, name in enumerate(ROWS.names)}


def row(system, place, *places, split="held_out_question", **changes):
    return evaluated(ROWS, place, split, system, answer(ROWS, places), **changes)


def test_every_system_has_a_line_for_each_split_in_the_order_that_was_asked_for():
    rows = [row("tuned", 0, 0), row("base", 0, 1), row("base", 2, 1, split="held_out_product")]
    found = [(result.split, result.system, result.answers) for result in results(rows, SYSTEMS, CATALOG)]
    assert found == [
        ("held_out_product", "base", 1),
        ("held_out_question", "base", 1),
        ("held_out_question", "tuned", 1),
    ]


def test_rates_count_answers_by_answer_and_references_by_reference():
    bad = evaluated(ROWS, 1, "held_out_question", "tuned", "Buy (closest product: Kale: id 101)")
    (found,) = results([row("tuned", 0, 0, 1, None), bad], SYSTEMS, CATALOG)
    hits = {name: (rate.hits, rate.trials) for name, rate in found.rates.items()}
    assert hits["format"] == (1, 2)
    assert hits["id_in_catalog"] == (3, 3)
    assert hits["name_agrees"] == (2, 3)
    assert hits["names_source"] == (1, 2)
    assert hits["relevant"] == (1, 3)
    assert hits["helps"] == (1, 2)
    assert hits["no_close_product"] == (1, 4)
    assert hits["refuses"] == (0, 2)


def test_only_questions_that_demand_something_count_for_what_is_demanded():
    rows = [
        row("tuned", 0, 0, constraints=["vegan"], broken=["101"]),
        row("tuned", 1, 1, constraints=["vegan"]),
        row("tuned", 2, 2),
        row("tuned", 3, 3, pairs_with="cornbread", repeats=True),
        row("tuned", 4, None, constraints=["vegan"], pairs_with="kale"),  # names nothing, so it has kept nothing
    ]
    (found,) = results(rows, SYSTEMS, CATALOG)
    assert (found.rates["breaks_constraint"].hits, found.rates["breaks_constraint"].trials) == (1, 2)
    assert (found.rates["repeats_question"].hits, found.rates["repeats_question"].trials) == (1, 1)


def test_an_answer_that_names_nothing_helps_nobody_where_somebody_judges():
    rows = [row("tuned", 0, 1), row("tuned", 1, None), row("tuned", 2, 0)]
    (found,) = results(rows, SYSTEMS, CATALOG)
    assert (found.rates["relevant"].hits, found.rates["relevant"].trials) == (1, 2)
    assert (found.rates["helps"].hits, found.rates["helps"].trials) == (1, 3)
    unjudged = [row("tuned", place, *named, judged=False) for place, named in enumerate([(1,), (None,)])]
    assert results(unjudged, SYSTEMS, CATALOG)[0].rates["helps"].trials == 0


def test_questions_about_one_product_go_right_or_wrong_together():
    def asked(system, products, right):
        return [
            row(system, 0, 0 if right(place) else None, product_id=f"{place % products}", question_id=f"{place}")
            for place in range(60)
        ]

    def of_half(products):
        return lambda place: place % products < products // 2

    apart, together = (
        results(asked("tuned", size, of_half(size)), SYSTEMS, CATALOG)[0].rates["refuses"] for size in (60, 20)
    )
    assert apart.rate == together.rate == 0.5
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    (gain,) = gains(asked("tuned", 20, of_half(20)) + asked("base", 20, lambda _: True))
    assert gain.differences["refuses"].value == 0.5
    assert gain.differences["refuses"].clusters == 20


def test_a_model_that_always_says_the_same_shows_it():
    (same,) = results([row("tuned", place, 0) for place in range(5)], SYSTEMS, CATALOG)
    (varied,) = results([row("tuned", place, place) for place in range(5)], SYSTEMS, CATALOG)
    assert (same.variety.covered, same.variety.top_id, same.variety.top.rate) == (1, "101", 1.0)
    assert same.variety.crowding == pytest.approx(0.8)
    assert same.variety.gini == pytest.approx(5 / 6)  # of the six products one has all
    assert (varied.variety.covered, varied.variety.top.rate, varied.variety.crowding) == (5, 0.2, pytest.approx(0.0))
    assert varied.variety.catalog == len(CATALOG)


def test_ids_that_no_product_has_cover_nothing():
    invented = evaluated(ROWS, 0, "held_out_question", "base", "Buy (closest product: Kale: id 999)")
    (found,) = results([invented], SYSTEMS, CATALOG)
    assert (found.variety.covered, found.variety.top_id, found.variety.gini) == (0, None, None)


def test_gini_is_0_for_equals_and_near_1_for_one_that_has_all():
    assert gini([3, 3, 3]) == pytest.approx(0)
    assert gini([0, 0, 0, 12]) == pytest.approx(0.75)
    assert gini([1, 2, 3, 4]) == pytest.approx(0.25)
    assert gini([]) is gini([0, 0]) is None


def test_a_tuned_system_is_compared_with_the_base_asked_in_the_same_way():
    nothing = "Anything you like."
    rows = [evaluated(ROWS, place, "held_out_question", "base", nothing) for place in range(3)]
    rows += [row(system, place, place) for system in ("tuned", "tuned-linked", "base-linked") for place in range(3)]
    found = {(gain.base, gain.tuned): gain.differences for gain in gains(rows)}
    assert set(found) == {("base", "tuned"), ("base-linked", "tuned-linked")}
    assert found["base", "tuned"]["format"].value == 1.0
    assert found["base-linked", "tuned-linked"]["format"].value == 0.0
    assert found["base", "tuned"]["name_agrees"].value is None  # the base model names nothing


def test_the_document_is_plain_json_also_of_nothing():
    rows = [row("base", 0, 1), row("tuned", 0, 0)]
    judge = JudgeFigures("generator", 2, 2, None)
    for found in (
        document(rows, [], systems=SYSTEMS, catalog=CATALOG, retrieval="bm25", judge=judge),
        document([], [], systems=SYSTEMS, catalog=CATALOG, retrieval="bm25", judge=None),
    ):
        assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["results"] == found["worst"] == found["recall"] == []
