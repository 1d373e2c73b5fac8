"""The complete pipeline on a cluster with a small real LLM: from four products to a report and a tuned adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from release import Release, merge_values

from skutune.cli.pipeline import _demo_config
from skutune.pipeline import runs
from skutune.store import open_store


@pytest.mark.model
def test_a_real_model_is_fine_tuned_on_a_cluster(make_release: Callable[..., Release]) -> None:
    cache = Path.home() / ".cache" / "skutune"
    release = make_release()
    config = yaml.safe_load(_demo_config(cache, "tiny", None, []).model_dump_json())
    release.upload(Path(config["catalog"]["source"]))
    config["stages"]["evaluate"] |= {"systems": ["tuned-constrained", "retrieval"], "recall": 1}  # all: the demo's test
    config |= {"run": "sample", "store": release.store}
    config["catalog"]["source"] = f"{release.store}/grocery.csv"
    release.values = merge_values(release.values, {"until": "", "gpu": {"devices": 0}, "defaults": {"shards": 1}})
    release.values["config"] = config
    release.values["extraEnv"] += [
        {"name": "OMP_NUM_THREADS", "value": "2"},
        {"name": "HOME", "value": str(Path.home())},
    ]
    release.install()
    code, message = release.wait_until_ended(900)
    assert code == 0, f"{message}\n{release.status_text()}\n{release.controller_log()}"
    print(release.status_text())
    store = open_store(release.store)
    assert runs.latest(store) == "sample"
    _, manifest = runs.stage_output(store, runs.require_run(store, "sample"), "finetune")
    assert manifest.files("adapter/"), "no adapter was written"
    assert b"<html" in store.get("sample/report.html")
