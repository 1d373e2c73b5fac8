"""A finetune task in a store of its own, and what works on it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.engines.pool import ModelPool
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.stage_io import Outputs
from skutune.store import ObjectStore, open_store
from skutune.worker.run_shard import open_task, run_shard

STAGE = STAGES["finetune"]
SETTINGS = {
    "epochs": 4,
    "learning_rate": 0.02,
    "batch_size": 4,
    "micro_batch_size": 4,
    "max_length": 128,
    "save_steps": 3,
}


@dataclass
class Training:
    """A finetune task in a store of its own, and workers on it."""

    store: ObjectStore
    task: Task
    folder: Path
    config: Config
    base: Path
    environment: dict[str, str] = field(default_factory=lambda: {**os.environ, "OMP_NUM_THREADS": "1"})

    def start(self, *options: str, start: Sequence[str] = ()) -> subprocess.Popen[str]:
        command = [sys.executable, *start, "-m", "skutune", "--cache", str(self.folder / "cache"), "worker"]
        command += ["--shard", "0"]
        command += ["--task", f"{self.store.uri}/{self.task.key}", "--progress-seconds", "0", *options]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=self.environment)

    def work(self, *options: str, start: Sequence[str] = ()) -> tuple[int, str]:
        process = self.start(*options, start=start)
        try:
            _, stderr = process.communicate(timeout=300)
        finally:
            process.kill()
        return process.returncode, stderr

    def work_here(self) -> None:
        """Work on the task in this process."""
        run_shard(
            open_task(f"{self.store.uri}/{self.task.key}"), 0, ModelPool(self.config.models, self.folder / "cache")
        )

    def manifest(self) -> Manifest:
        return submit.merge_attempts(StageFolder.read(self.store, self.task.folder), STAGE, None)

    def losses(self) -> dict[int, float]:
        lines = self.store.get(f"{self.task.folder}/metrics.jsonl").decode().splitlines()
        points = [json.loads(line) for line in lines]
        return {point["step"]: point["loss"] for point in points if point["loss"] is not None}


def make_training(folder, base, train, validation, **settings):
    """A task to fine-tune `base`, with settings of the training by name."""
    store = open_store(str(folder / "store"))
    model = {"name": str(base)}
    document = {
        "run": "sample",
        "catalog": {"source": "products.csv", "buckets": 2},
        "models": {"generator": model, "encoder": model, "base": {**model, "dtype": "float32"}},
        "stages": {"finetune": {**SETTINGS, **settings}},
    }
    config = parse_config(document, "a test")
    outputs = Outputs(store, "sample/compose/f")
    outputs.file("train.jsonl", train)
    outputs.file("validation.jsonl", validation)
    compose = Manifest("compose", "f", 2, tuple(outputs.entries))
    manifests.write_manifest(store, "sample/compose/f", compose)
    info = submit.open_run(store, config, None)
    identities = {"base": ModelPool(config.models, folder / "cache").identity("base")}
    draft = submit.plan_task(config, info, STAGE, {"compose": compose}, identities, "")
    task = submit.next_attempt(StageFolder.read(store, draft.folder), info, STAGE, draft, [0], 1)
    manifests.write_task(store, task)
    return Training(store, task, folder, config, base)
