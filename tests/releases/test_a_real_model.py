"""The whole pipeline on a cluster with a real, small LLM: from four products to a report and a tuned adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from release import Release, _merged

from skutune.cli.pipeline import _demo_config
from skutune.pipeline import runs
from skutune.store import open_store


@pytest.mark.model
def test_a_real_model_is_fine_tuned_on_a_cluster(release: Callable[..., Release]) -> None:
    cache = Path.home() / ".cache" / "skutune"
    mine = release()
    config = yaml.safe_load(_demo_config(cache, "tiny", None, []).model_dump_json())
    mine.upload(Path(config["catalog"]["source"]))
    config["stages"]["evaluate"] |= {"systems": ["tuned-constrained", "retrieval"], "recall": 1}  # all: the demo's test
    config |= {"run": "sample", "store": mine.store}
    config["catalog"]["source"] = f"{mine.store}/grocery.csv"
    mine.values = _merged(mine.values, {"until": "", "gpu": {"devices": 0}, "defaults": {"shards": 1}})
    mine.values["config"] = config
    mine.values["extraEnv"] += [{"name": "OMP_NUM_THREADS", "value": "2"}, {"name": "HOME", "value": str(Path.home())}]
    mine.install()
    code, words = mine.ended(900)
    assert code == 0, f"{words}\n{mine.status_text()}\n{mine.controller_log()}"
    print(mine.status_text())
    store = open_store(mine.store)
    assert runs.latest(store) == "sample"
    _, manifest = runs.stage_output(store, runs.require_run(store, "sample"), "finetune")
    assert manifest.files("adapter/"), "no adapter was written"
    assert b"<html" in store.get("sample/report.html")
