"""Links, coverage, costs and losses, counted from rows."""

from __future__ import annotations

import json
from collections import Counter

from finished import COSTS, link

from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Entry, Manifest
from skutune.records import Coverage
from skutune.report.coverage import tally_coverage
from skutune.report.linking import tally_links
from skutune.report.losses import read_losses
from skutune.report.pipeline import RejectedSample, RowOutcome, count_reasons, one_a_kind, stage_cost


def coverage(place: int, examples: int, references: int = 0, held_out: bool = False, least: int = 2) -> Coverage:
    short = not held_out and examples < least
    return Coverage(str(place), f"Product {place}", examples + 1, examples, references, held_out, short, {})


def test_names_are_counted_once_and_recommendations_as_often_as_they_come() -> None:
    links = [(link("Beans", [("1", "Beans", 0.9), ("2", "Red Beans", 0.9)]), 30), (link("Haircut", [], 0.2), 10)]
    found = tally_links(links, listed=5)
    assert (found.names.hits, found.names.trials) == (1, 2)
    assert (found.recommendations.hits, found.recommendations.trials) == (30, 40)
    assert found.candidates == 2
    assert [(each.name, each.count) for each in found.unlinked] == [("Haircut", 10)]
    assert sum(each.marked for each in found.bins) == 1


def test_of_many_names_without_a_product_the_commonest_are_listed_in_order() -> None:
    found = tally_links(((link(f"Name {count}", [], 0.1), count) for count in (5, 50, 1, 20, 7)), listed=3)
    assert [each.count for each in found.unlinked] == [50, 20, 7]
    assert found.names.trials == 5


def test_no_links_are_no_fault() -> None:
    found = tally_links([], listed=3)
    assert (found.candidates, found.names.rate, found.unlinked) == (None, None, [])


def test_held_out_products_do_not_count_as_short() -> None:
    rows = [coverage(1, 2), coverage(2, 0), coverage(3, 0, held_out=True), coverage(4, 1)]
    found = tally_coverage(rows, 2, listed=10)
    assert (found.covered.hits, found.covered.trials, found.held_out) == (1, 3, 1)
    assert [row.product_id for row in found.shortest] == ["2", "4"]
    assert [(each.count, each.marked) for each in found.bins] == [(1, 0), (1, 0), (1, 1)]


def test_the_ends_of_a_long_ledger_are_listed_and_equals_keep_their_order() -> None:
    rows = [coverage(place, place % 2, references=place // 10) for place in range(100)]
    found = tally_coverage(rows, 2, listed=3)
    assert [row.product_id for row in found.shortest] == ["0", "2", "4"]
    assert [row.product_id for row in found.commonest] == ["90", "91", "92"]
    assert (found.recommended.hits, found.recommended.trials) == (90, 100)


def test_reasons_of_a_kind_are_counted_together_and_the_rest_is_summed_up() -> None:
    outcomes = [
        RowOutcome("names 'A'"),
        RowOutcome(None),
        RowOutcome("names 'B'"),
        *(RowOutcome(f"why {n}") for n in "abcd"),
    ]
    reasons = count_reasons(outcomes)
    assert reasons["names …"] == 2
    manifest = Manifest("question", "f", 1, (Entry("", 0, "part", 7, 6, 1, "d"),), COSTS)
    cost = stage_cost(STAGES["question"], manifest, reasons)
    assert (cost.rows, cost.rejected, cost.further) == (7, 6, 2)
    assert cost.reasons[0] == ("names …", 2)
    assert cost.tokens_per_second == 1500 / 12.5


def test_a_stage_without_an_llm_has_no_token_rate() -> None:
    assert stage_cost(STAGES["ingest"], Manifest("ingest", "f", 1, ()), Counter()).tokens_per_second is None


def test_one_row_is_shown_for_each_kind_of_reason() -> None:
    rows = [RejectedSample("s", str(n), reason, "") for n, reason in enumerate(["a 'x'", "a 'y'", "b", "c", "d"])]
    assert [row.row for row in one_a_kind(rows, 3)] == ["0", "2", "3"]


def test_losses_are_read_with_gaps_and_blank_lines() -> None:
    points = [
        {"step": 1, "loss": 2.0, "tokens": 10, "seconds": 1.5, "validation_loss": None},
        {"step": 1, "loss": None, "tokens": 10, "seconds": 1.5, "validation_loss": 1.9},
        {"step": 2, "loss": float("nan"), "tokens": 20, "seconds": 3.0},
    ]
    found = read_losses([json.dumps(point) + "\n" for point in points] + ["\n"])
    assert found.training == [(1.0, 2.0)]
    assert found.validation == [(1.0, 1.9)]
    assert (found.tokens, found.seconds) == (20, 3.0)
    assert read_losses([]).training == []
