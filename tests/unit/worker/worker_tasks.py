"""A describe task in a store of its own, and workers on it as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from scripted_run import Pipeline

from skutune.pipeline import manifests, runs, submit
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.store import ObjectStore, open_store

BUCKETS = 6
DESCRIBE = STAGES["describe"]


@dataclass
class Submitted:
    """A stage's task in a store, and how to work it."""

    store: ObjectStore
    info: RunInfo
    task: Task
    asked: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, hindrance: str = "nothing", results: int = -1, *options: str) -> subprocess.Popen[str]:
        program = str(Path(__file__).parent / "hindered_worker.py")
        worker = ["worker", "--task", f"{self.store.uri}/{self.task.key}", "--shard", "0", *options]
        return subprocess.Popen(
            [sys.executable, program, hindrance, str(results), str(self.asked), *worker],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **self.environment},
        )  # fmt: skip

    def work(self, hindrance: str = "nothing", results: int = -1, *options: str) -> tuple[int, str]:
        """Exit code and stderr of a worker."""
        process = self.start(hindrance, results, *options)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr

    def listed(self) -> Manifest:
        """What the shard's manifest lists."""
        found = StageFolder.read(self.store, self.task.folder).read_shard(self.task.attempt, 0)
        assert found is not None
        return found

    def requests(self) -> list[str]:
        """The ids of all requests so far."""
        return self.asked.read_text().split() if self.asked.exists() else []


def submitted(ingested: Pipeline, folder: Path, name: str) -> Submitted:
    """The task of describe, its one shard with all parts, in a store of its own."""
    store, read = open_store(str(folder / name)), open_store(ingested.store)
    for found in read.list("sample/"):
        store.put(found.key, read.get(found.key))
    info = runs.require_run(store, "sample")
    _, manifest = runs.stage_output(store, info, "ingest")
    identity = "scripted malformed=0.15"
    draft = submit.plan_task(info.config, info, DESCRIBE, {"ingest": manifest}, {"generator": identity}, "")
    task = submit.next_attempt(StageFolder.read(store, draft.folder), info, DESCRIBE, draft, range(BUCKETS), 1)
    manifests.write_task(store, task)
    return Submitted(store, info, task, folder / f"{name}.asked", {"SKUTUNE_CACHE": str(folder / "cache")})
