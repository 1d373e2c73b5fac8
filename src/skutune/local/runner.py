"""The pipeline on this machine: the stages in order, each through the task documents that a cluster would use.

With one shard the worker runs in this process and keeps the models loaded from stage to stage; with several, each shard
is a process of its own (`skutune worker`), as in a pod.
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
    """Who watches a run."""

    def stage_started(self, stage: Stage, parts: int) -> None:
        """A stage begins to work on this many missing parts."""
        ...

    def progressed(self, progress: Progress) -> None:
        """A shard is this far."""
        ...

    def stage_finished(self, stage: Stage, manifest: Manifest, seconds: float, resumed: bool) -> None:
        """A stage is done; `resumed` says that nothing was left to do."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What of a pipeline is run, and how wide."""

    until: str | None = None
    first: str | None = None
    base: str | None = None
    shards: int = 1


def run_pipeline(
    config: Config, store: ObjectStore, cache: Path, observer: RunObserver, options: Options = Options()
) -> dict[str, Manifest]:
    """Run or resume a pipeline; returns the manifest of each stage.

    Raises:
        InputError: the config, catalog, a model or the store is wrong, or another process runs this run.
        SkutuneError: a stage failed; what is done stays, and the next call goes on from it.
    """
    wanted = graph.selected(options.until)
    done_before = {stage.name for stage in graph.selected(options.first)} - {options.first} if options.first else set()
    check_writable(store)
    with hold(store, runs.lease_key(config.run)) as lease:
        info = submit.open_run(store, config, options.base)
        pipeline = _Pipeline(config, store, cache, _Guarded(observer, lease), options.shards, info)
        try:
            for stage in wanted:
                lease.check()
                pipeline.run(stage, may_work=stage.name not in done_before)
                if stage.name == "ingest":  # a faulty catalog is told first, and quickly
                    pipeline.find_models(wanted)
        except BaseException as error:
            with suppress(InputError, RetryableError):  # a store that fails now is what `error` tells of already
                save_status(store, config.run, _state_of(error), pipeline.working, str(error)[:2000])
            raise
        finally:
            pipeline.pool.close()
        save_status(store, config.run, "done" if options.until is None else "until " + options.until, {})
        if options.until is None:
            runs.set_latest(store, config.run)
    return pipeline.done


class _Guarded:
    """Passes on what a run says, and ends the run once another one has taken its place."""

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

    def find_models(self, wanted: list[Stage]) -> None:
        """Find all models, and verdicts by hand, before any model is put to work, those that need no network first.

        Raises:
            InputError: one is not there.
        """
        labels_digest(self.config)
        roles = {role for stage in wanted for role in graph.models_of(stage, self.config)}
        for role in sorted(roles, key=lambda role: (self.pool.is_remote(role), role)):
            self.pool.identity(role)

    def run(self, stage: Stage, may_work: bool) -> None:
        """Bring one stage to its manifest."""
        started = time.monotonic()
        task = self._task(stage)
        folder = StageFolder.read(self.store, task.folder)
        manifest = folder.manifest
        resumed = manifest is not None
        if manifest is None:
            if not may_work:
                raise InputError(
                    f"--from: it needs the stage {stage.name}, which is not done; leave --from away to run it"
                )
            manifest = self._work(stage, task, folder)
        self.info = submit.record_done(self.store, self.info, stage, task, manifest)
        self.working.pop(stage.name, None)
        self.done[stage.name] = manifest
        if stage.name == "report" and resumed:  # the page of another config may lie there
            page = manifest.file("report.html")
            self.store.put(f"{self.config.run}/report.html", self.store.get(f"{task.folder}/{page.name}"))
        self.observer.stage_finished(stage, manifest, time.monotonic() - started, resumed)

    def _task(self, stage: Stage) -> Task:
        models: dict[str, str] = {role: self.pool.identity(role) for role in graph.models_of(stage, self.config)}
        source = ""
        if stage.name == "ingest":
            source = source_digest(self.config.catalog.source)
        elif stage.name == "evaluate":
            source = labels_digest(self.config)
        return submit.plan_task(self.config, self.info, stage, self.done, models, source)

    def _work(self, stage: Stage, task: Task, folder: StageFolder) -> Manifest:
        """Submit what is missing, and merge the results."""
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
        self.pool.close()  # each worker loads its own
        with WorkerProcesses(self.store, task, self.cache) as processes:
            while processes.running():
                for progress in processes.progress():
                    self.observer.progressed(progress)
                time.sleep(_POLL_SECONDS)
            processes.check()


def _state_of(error: BaseException) -> str:
    return "stopped" if isinstance(error, (StoppedError, StopSignal)) else "failed"
