"""All stages on a cluster, training and evaluation of real weights included: from four products to a tuned adapter.

The weights are a few thousand: how well a real LLM generates and learns is tested where it runs without a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml
from release import Release, merge_values

from skutune.cli.pipeline import _demo_config
from skutune.pipeline import runs
from skutune.store import open_store
from tests.chat_families import FAMILIES


def test_a_model_is_fine_tuned_and_evaluated_on_a_cluster(make_release: Callable[..., Release], tmp_path: Path) -> None:
    cache = Path.home() / ".cache" / "skutune"
    release = make_release()
    config = yaml.safe_load(_demo_config(cache, "tiny", None, []).model_dump_json())
    release.upload(Path(config["catalog"]["source"]))
    base = FAMILIES["Llama 3"].save(tmp_path / "base", max_position_embeddings=4096)
    scripted = {"name": "none", "engine": "scripted"}
    config["models"] = {"generator": scripted, "encoder": scripted, "base": {"name": str(base), "dtype": "float32"}}
    config["stages"]["evaluate"] |= {"systems": ["tuned-constrained", "retrieval"], "recall": 1, "max_tokens": 400}
    config |= {"run": "sample", "store": release.store}
    config["catalog"]["source"] = f"{release.store}/grocery.csv"
    release.values = merge_values(release.values, {"until": "", "gpu": {"devices": 0}, "defaults": {"shards": 1}})
    release.values["config"] = config
    release.values["extraEnv"] += [{"name": "OMP_NUM_THREADS", "value": "1"}]
    release.install()
    code, message = release.wait_until_ended(600)
    assert code == 0, f"{message}\n{release.status_text()}\n{release.controller_log()}"
    store = open_store(release.store)
    assert runs.latest(store) == "sample"
    info = runs.require_run(store, "sample")
    _, trained = runs.stage_output(store, info, "finetune")
    assert trained.files("adapter/"), "no adapter was written"
    _, evaluated = runs.stage_output(store, info, "evaluate")
    assert evaluated.figures["questions"], "nothing was evaluated"
    assert b"<html" in store.get("sample/report.html")
