"""Progress while texts are being generated: tokens, a fraction of items, the time left, and what a shard waits for."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from skutune.pipeline.manifests import Stats, Task
from skutune.process.progress import Progress, listening_to_tokens, report_tokens
from skutune.store.local import LocalStore
from skutune.worker.shard import Shard

TASK = Task("r", "describe", "f", 1, {}, {}, (), 2, ((0, 1),), {})


@pytest.fixture
def reports() -> list[Progress]:
    return []


@pytest.fixture
def shard(tmp_path: Path, reports: list[Progress]) -> Shard:
    shard = Shard(LocalStore(tmp_path), TASK, 0, reports.append, progress_seconds=0.0)
    shard.expected, shard.tokens_per_item = 10, 100
    return shard


def test_tokens_are_reported_before_the_first_item_is_finished(shard: Shard, reports: list[Progress]) -> None:
    with listening_to_tokens(shard.report_tokens):
        report_tokens(0)
        report_tokens(8)
        report_tokens(42)
    report_tokens(1000)  # nobody listens any more
    assert [(each.done, each.completion_tokens, each.rows) for each in reports] == [
        (0, 0, 0),
        (0.08, 8, 0),
        (0.5, 50, 0),
    ]


def test_finished_items_correct_the_estimate_of_tokens_per_item(shard: Shard, reports: list[Progress]) -> None:
    shard.processed = Stats(items=2, completion_tokens=40)
    shard.report_tokens(50)  # 10 more than those of the finished items, which took 20 each
    assert reports[-1].done == 2.5
    assert reports[-1].completion_tokens == 50


def test_unfinished_items_never_complete_a_stage(shard: Shard, reports: list[Progress]) -> None:
    shard.processed = Stats(items=8, completion_tokens=80)
    shard.report_tokens(10_000)
    assert reports[-1].done == 9


def test_reused_items_do_not_count_as_generated(shard: Shard, reports: list[Progress]) -> None:
    shard.processed = Stats(items=6, reused=4, completion_tokens=60)
    shard.report_tokens(75)
    assert reports[-1].done == 6.5


def test_the_time_left_follows_the_pace(shard: Shard, reports: list[Progress]) -> None:
    shard.report_tokens(0)
    assert reports[-1].seconds_left is None
    shard.started = time.monotonic() - 30
    shard.report_tokens(100)
    assert reports[-1].seconds_left == pytest.approx(270, abs=2)


def test_an_activity_is_reported_at_once_and_into_the_store(shard: Shard, reports: list[Progress]) -> None:
    shard._throttle.seconds = 3600
    shard.report_progress()
    shard.report_activity("loading the generator")
    assert [each.activity for each in reports] == ["", "loading the generator"]
    stored = json.loads(shard.store.get(f"{TASK.folder}/progress-a1-0.json"))
    assert stored["activity"] == "loading the generator"
