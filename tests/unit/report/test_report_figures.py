"""Histograms, samples, kinds of reasons and nested figures."""

from __future__ import annotations

import pytest

from skutune.pipeline.rejections import reason_kind
from skutune.report.figures import count_bins, flatten, sample, unit_bins


def test_every_value_between_0_and_1_falls_into_exactly_one_bin_and_1_into_the_last() -> None:
    bins = unit_bins([(0.0, False), (0.049, True), (0.05, True), (0.5, False), (1.0, True)])
    assert [(each.count, each.marked) for each in bins if each.count] == [(2, 1), (1, 1), (1, 0), (1, 1)]
    assert sum(each.count for each in bins) == 5
    assert bins[-1].count == 1
    assert bins[-1].high == 1.0


def test_small_whole_numbers_have_a_bin_each_with_those_that_suffice_marked() -> None:
    bins = count_bins({0: 3, 1: 1, 3: 5}, lambda number: number >= 3)
    assert [(each.low, each.high, each.count, each.marked) for each in bins] == [
        (0, 1, 3, 0),
        (1, 2, 1, 0),
        (2, 3, 0, 0),
        (3, 4, 5, 5),
    ]


def test_large_whole_numbers_share_bins_and_none_is_lost() -> None:
    counts = dict.fromkeys(range(1000), 1)
    bins = count_bins(counts, lambda number: number >= 990)
    assert len(bins) <= 24
    assert sum(each.count for each in bins) == 1000
    assert sum(each.marked for each in bins) == 10


def test_nothing_to_count_gives_no_bins() -> None:
    assert count_bins({}, lambda number: True) == []


def test_a_sample_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [f"row {number}" for number in range(50)]
    picked = sample(rows, 5, str)
    assert picked == sample(reversed(rows), 5, str)
    assert len(set(picked)) == 5
    assert picked != rows[:5]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("names the product", "names the product"),
        ("the first name, 'Bread', is not the product's", "the first name, …, is not the product's"),
        ("the first name, \"Bob's Bread\", is not the product's", "the first name, …, is not the product's"),
        ("id '7' is not 'Ale' in the catalog", "id … is not … in the catalog"),
        ("'only this'", "…"),
        ("", ""),
    ],
)
def test_a_kind_of_reason_leaves_out_what_is_quoted(reason: str, kind: str) -> None:
    assert reason_kind(reason) == kind


def test_nested_figures_become_rows_and_long_lists_are_told_by_their_ends() -> None:
    figures = {
        "accuracy": 0.5,
        "kept_by": {"name": "prior", "of": [1, 2]},
        "losses": [3.0, 2.5, 2.0, 1.5, 1.2, 1.1, 1.0],
        "folds": [{"auc": 0.8}, {"auc": 0.9}],
        "none": [],
    }
    assert list(flatten(figures)) == [
        ("accuracy", 0.5),
        ("kept by · name", "prior"),
        ("kept by · of", [1, 2]),
        ("losses · count", 7),
        ("losses · first", 3.0),
        ("losses · last", 1.0),
        ("folds 1 · auc", 0.8),
        ("folds 2 · auc", 0.9),
        ("none", []),
    ]
