"""A describe task in a separate store, and worker subprocesses that run it."""

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
class SubmittedTask:
    """A submitted task, and the workers that run it."""

    store: ObjectStore
    info: RunInfo
    task: Task
    request_log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, fault: str = "nothing", results: int = -1, *options: str) -> subprocess.Popen[str]:
        program = str(Path(__file__).parent / "faulty_worker.py")
        worker = ["worker", "--task", f"{self.store.uri}/{self.task.key}", "--shard", "0", *options]
        return subprocess.Popen(
            [sys.executable, program, fault, str(results), str(self.request_log), *worker],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **self.environment},
        )  # fmt: skip

    def work(self, fault: str = "nothing", results: int = -1, *options: str) -> tuple[int, str]:
        """Run a worker; returns its exit code and stderr."""
        process = self.start(fault, results, *options)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr

    def shard_manifest(self) -> Manifest:
        """The manifest of the shard."""
        manifest = StageFolder.read(self.store, self.task.folder).read_shard(self.task.attempt, 0)
        assert manifest is not None
        return manifest

    def requests(self) -> list[str]:
        """The ids of all requests so far."""
        return self.request_log.read_text().split() if self.request_log.exists() else []


def submit_describe(ingested: Pipeline, folder: Path, name: str) -> SubmittedTask:
    """Submit describe with all parts in one shard, to a copy of the store."""
    store, source = open_store(str(folder / name)), open_store(ingested.store)
    for info in source.list("sample/"):
        store.put(info.key, source.get(info.key))
    run = runs.require_run(store, "sample")
    _, manifest = runs.stage_output(store, run, "ingest")
    identity = "scripted malformed=0.15"
    plan = submit.plan_task(run.config, run, DESCRIBE, {"ingest": manifest}, {"generator": identity}, "")
    task = submit.next_attempt(StageFolder.read(store, plan.folder), run, DESCRIBE, plan, range(BUCKETS), 1)
    manifests.write_task(store, task)
    return SubmittedTask(store, run, task, folder / f"{name}.requests", {"SKUTUNE_CACHE": str(folder / "cache")})
