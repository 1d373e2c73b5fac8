"""A stage that keeps too few rows ends the run with its commonest reasons."""

from __future__ import annotations

import pytest

from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.pipeline.manifests import Entry, Manifest
from skutune.pipeline.rejections import count_reasons, too_few_rows


def config(min_kept: float) -> Config:
    model = {"name": "none"}
    scripted = {**model, "engine": "scripted"}
    return parse_config(
        {
            "run": "a",
            "catalog": {"source": "a.csv"},
            "models": {"generator": scripted, "encoder": scripted, "base": model},
            "stages": {"recommend": {"min_kept": min_kept}},
        },
        "test",
    )


def manifest(kept: int, **reasons: int) -> Manifest:
    rejected = sum(reasons.values())
    half = {reason: count // 2 for reason, count in reasons.items()}
    rest = {reason: count - half[reason] for reason, count in reasons.items()}
    entries = (
        Entry("", 0, "a", kept + sum(half.values()), sum(half.values()), 1, "d", half),
        Entry("", 1, "b", rejected - sum(half.values()), rejected - sum(half.values()), 1, "d", rest),
    )
    return Manifest("recommend", "f", 2, entries)


@pytest.mark.parametrize(
    ("kept", "rejected", "min_kept", "ends"),
    [(5, 5, 0.5, False), (4, 6, 0.5, True), (0, 3, 0.0, True), (1, 99, 0.0, False), (0, 0, 0.5, False)],
)
def test_a_share_below_the_minimum_ends_the_run(kept: int, rejected: int, min_kept: float, ends: bool) -> None:
    reason = too_few_rows("recommend", config(min_kept), manifest(kept, empty=rejected))
    assert (reason is not None) == ends


def test_a_stage_without_a_minimum_ends_the_run_only_if_no_row_is_left() -> None:
    assert too_few_rows("compose", config(0.5), manifest(1, empty=9)) is None
    assert too_few_rows("compose", config(0.5), manifest(0, empty=9)) is not None


def test_the_commonest_reasons_come_first() -> None:
    reason = too_few_rows("recommend", config(0.5), manifest(2, empty=3, incomplete=5))
    assert reason is not None
    assert reason.startswith("recommend kept 2 of 10 rows, less than stages.recommend.min_kept (50%)")
    assert "Rejected: 5 × incomplete; 3 × empty." in reason


def test_reasons_are_counted_by_kind() -> None:
    reasons = ["the prompt has 3,412 tokens", None, "the prompt has 512 tokens", "name 'Tea' is unknown", "empty"]
    assert count_reasons(reasons) == {"the prompt has … tokens": 2, "name … is unknown": 1, "empty": 1}
