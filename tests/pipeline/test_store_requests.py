"""What a run asks of its store: each stage's folder is listed once per decision, and nothing is read twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from scripted_run import UNTIL, Pipeline

from skutune.cli.console import EventObserver
from skutune.config.load import load_config
from skutune.local.runner import Options, run_pipeline
from skutune.pipeline.graph import selected
from skutune.store.local import LocalStore


class CountingStore(LocalStore):
    """A store in a folder that counts its requests by method, and the objects that were read by name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.requests: Counter[str] = Counter()
        self.read: Counter[str] = Counter()

    def list(self, prefix: str = ""):  # type: ignore[no-untyped-def]
        self.requests["list"] += 1
        return super().list(prefix)

    def get(self, key: str) -> bytes:
        self.requests["get"] += 1
        self.read[key.rpartition("/")[2]] += 1
        return super().get(key)


def run(pipeline: Pipeline) -> CountingStore:
    config = load_config(pipeline.config)
    store = CountingStore(Path(config.store))
    run_pipeline(config, store, pipeline.folder / "cache", EventObserver(), Options(until=UNTIL))
    return store


def test_a_run_lists_a_stage_before_and_after_its_work_and_a_finished_one_once(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = len(selected(UNTIL))
    store = run(pipeline)
    assert store.requests["list"] == 2 * stages
    assert store.read["manifest.json"] == 0, "the runner has the manifests of the stages that it has just merged"
    assert store.read["run.yaml"] == 1

    resumed = run(pipeline)
    assert resumed.requests["list"] == stages
    assert resumed.read["manifest.json"] == stages
    assert not [name for name in resumed.read if name.startswith("part-")]
