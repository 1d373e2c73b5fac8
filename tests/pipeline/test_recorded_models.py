"""A stage's manifest records the identities of the models it used."""

from __future__ import annotations

from pathlib import Path

from skutune.config.load import parse_config
from skutune.engines import SCRIPTED_IDENTITY
from skutune.local.runner import Options, run_pipeline
from skutune.pipeline.graph import Stage
from skutune.pipeline.manifests import Manifest
from skutune.process.progress import Progress
from skutune.samples import write_sample
from skutune.store.local import LocalStore


class SilentObserver:
    """Ignores the progress of a run."""

    def stage_started(self, stage: Stage, parts: int) -> None: ...

    def progressed(self, progress: Progress) -> None: ...

    def stage_finished(self, stage: Stage, manifest: Manifest, seconds: float, resumed: bool) -> None: ...


def test_a_manifest_records_model_identities_only_for_stages_that_use_models(tmp_path: Path) -> None:
    write_sample(tmp_path / "grocery.csv", 4)
    scripted = {"name": "scripted", "engine": "scripted"}
    config = parse_config(
        {
            "run": "recorded",
            "catalog": {
                "source": str(tmp_path / "grocery.csv"),
                "columns": {"id": "product_id", "name": "product_name"},
            },
            "models": {"generator": scripted, "encoder": scripted, "base": {"name": "./never-loaded"}},
        },
        "test",
    )
    store = LocalStore(tmp_path / "store")
    done = run_pipeline(config, store, tmp_path / "cache", SilentObserver(), Options(until="describe"))
    assert done["describe"].versions["model generator"] == SCRIPTED_IDENTITY
    assert not any(name.startswith("model ") for name in done["ingest"].versions)
