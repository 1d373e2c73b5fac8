"""Runs the pipeline on this machine: the stages in order, with the same task documents as on a cluster.

A single shard runs in this process and keeps models loaded between stages; several shards run as `skutune worker`
subprocesses, as in pods.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skutune.config.schema import Config
from skutune.engines.pool import ModelPool
from skutune.errors import InputError, RetryableError, StoppedError, StopSignal
from skutune.local.subprocesses import WorkerProcesses
from skutune.pipeline import graph, manifests, runs, submit
from skutune.pipeline.graph import Stage
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.status import save_status
from skutune.pipeline.user_files import labels_digest, source_digest
from skutune.process.progress import Progress
from skutune.store import check_writable
from skutune.store.base import ObjectStore
from skutune.store.lease import Lease, hold
from skutune.worker.run_shard import OpenTask, run_shard

_POLL_SECONDS = 0.5


class RunObserver(Protocol):
    """Receives the progress of a run."""

    def stage_started(self, stage: Stage, parts: int) -> None:
        """A stage starts, with this many missing parts."""
        ...

    def progressed(self, progress: Progress) -> None:
        """A shard reported its progress."""
        ...

    def stage_finished(self, stage: Stage, manifest: Manifest, seconds: float, resumed: bool) -> None:
        """A stage is complete; `resumed` if it already was."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Which stages of a pipeline run, with how many shards."""

    until: str | None = None
    first: str | None = None
    base: str | None = None
    shards: int = 1


def run_pipeline(
    config: Config, store: ObjectStore, cache: Path, observer: RunObserver, options: Options = Options()
) -> dict[str, Manifest]:
    """Run or resume a pipeline, and return the manifest of each stage.

    Raises:
        InputError: the config, catalog, a model or the store is invalid, or another process is running this run.
        SkutuneError: a stage failed; completed work is kept, and the next call resumes from it.
    """
    selected = graph.selected(options.until)
    skipped = {stage.name for stage in graph.selected(options.first)} - {options.first} if options.first else set()
    check_writable(store)
    with hold(store, runs.lease_key(config.run)) as lease:
        info = submit.open_run(store, config, options.base)
        pipeline = _Pipeline(config, store, cache, _LeaseCheckingObserver(observer, lease), options.shards, info)
        try:
            for stage in selected:
                lease.check()
                pipeline.run(stage, may_run=stage.name not in skipped)
                if stage.name == "ingest":  # first, so that errors in the catalog are reported quickly
                    pipeline.check_models(selected)
        except BaseException as error:
            with suppress(InputError, RetryableError):  # `error` has the same cause
                save_status(store, config.run, _state_of(error), pipeline.working, str(error)[:2000])
            raise
        finally:
            pipeline.pool.close()
        save_status(store, config.run, "done" if options.until is None else "until " + options.until, {})
        if options.until is None:
            runs.set_latest(store, config.run)
    return pipeline.done


class _LeaseCheckingObserver:
    """Forwards progress, and stops the run once another one has taken over its lease."""

    def __init__(self, observer: RunObserver, lease: Lease) -> None:
        self._observer, self._lease = observer, lease
        self.stage_started, self.stage_finished = observer.stage_started, observer.stage_finished

    def progressed(self, progress: Progress) -> None:
        self._lease.check()
        self._observer.progressed(progress)


class _Pipeline:
    def __init__(
        self, config: Config, store: ObjectStore, cache: Path, observer: RunObserver, shards: int, info: RunInfo
    ) -> None:
        self.config, self.store, self.observer, self.shards, self.info = config, store, observer, shards, info
        self.cache = cache
        self.pool = ModelPool(config.models, cache)
        self.done: dict[str, Manifest] = {}
        self.working: dict[str, str] = {}

    def check_models(self, selected: list[Stage]) -> None:
        """Check that all models and the judge labels exist before any model runs; local models first.

        Raises:
            InputError: one of them does not exist.
        """
        labels_digest(self.config)
        roles = {role for stage in selected for role in graph.models_of(stage, self.config)}
        for role in sorted(roles, key=lambda role: (self.pool.is_remote(role), role)):
            self.pool.identity(role)
        self.pool.check_chat_models(roles)

    def run(self, stage: Stage, may_run: bool) -> None:
        """Complete one stage."""
        started = time.monotonic()
        task = self._task(stage)
        folder = StageFolder.read(self.store, task.folder)
        manifest = folder.manifest
        resumed = manifest is not None
        if manifest is None:
            if not may_run:
                raise InputError(f"--from: depends on stage {stage.name}, which is not complete; omit --from to run it")
            manifest = self._run_missing(stage, task, folder)
        self.info = submit.record_done(self.store, self.info, stage, task, manifest)
        self.working.pop(stage.name, None)
        self.done[stage.name] = manifest
        if stage.name == "report" and resumed:  # another config may have published its report since
            page = manifest.file("report.html")
            self.store.put(f"{self.config.run}/report.html", self.store.get(f"{task.folder}/{page.name}"))
        self.observer.stage_finished(stage, manifest, time.monotonic() - started, resumed)
        submit.check_rows(stage, self.config, manifest)

    def _task(self, stage: Stage) -> Task:
        models: dict[str, str] = {role: self.pool.identity(role) for role in graph.models_of(stage, self.config)}
        source = ""
        if stage.name == "ingest":
            source = source_digest(self.config.catalog.source)
        elif stage.name == "evaluate":
            source = labels_digest(self.config)
        return submit.plan_task(self.config, self.info, stage, self.done, models, source)

    def _run_missing(self, stage: Stage, task: Task, folder: StageFolder) -> Manifest:
        """Run the missing parts and merge the results."""
        self.working[stage.name] = task.fingerprint
        save_status(self.store, self.config.run, "running", self.working)
        parts = submit.missing_parts(folder, stage, self.info.buckets)
        self.observer.stage_started(stage, len(parts))
        if parts:
            task = submit.next_attempt(folder, self.info, stage, task, parts, self.shards)
            manifests.write_task(self.store, task)
            self._submit(task, folder)
            folder = StageFolder.read(self.store, task.folder)
        manifest = submit.merge_attempts(folder, stage, self.info.buckets)
        manifests.write_manifest(self.store, task.folder, manifest)
        return manifest

    def _submit(self, task: Task, folder: StageFolder) -> None:
        if len(task.shards) == 1:
            inputs = {name: self.done[name] for name in task.inputs}
            opened = OpenTask(self.store, task, self.config, folder, inputs)
            run_shard(opened, 0, self.pool, self.observer.progressed)
            return
        self.pool.close()  # each worker loads its own models
        with WorkerProcesses(self.store, task, self.cache) as processes:
            while processes.running():
                for progress in processes.progress():
                    self.observer.progressed(progress)
                time.sleep(_POLL_SECONDS)
            processes.check()


def _state_of(error: BaseException) -> str:
    return "stopped" if isinstance(error, (StoppedError, StopSignal)) else "failed"
