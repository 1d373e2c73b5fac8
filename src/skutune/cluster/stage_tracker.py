"""Tracks a run's stages in the store: reads and writes tasks, outcomes, manifests and the run's record.

A stage is read when it becomes ready and again when one of its attempts ends, so that the number of requests grows with
the number of attempts, not with time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skutune.cluster.diagnosis import AttemptEnd
from skutune.cluster.outcomes import AttemptOutcome, read_outcomes, write_outcome
from skutune.cluster.plan import ClusterPlan, selected_stages
from skutune.cluster.snapshot import StageView
from skutune.config.schema import Config
from skutune.errors import InputError
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import CLUSTER_STAGES, Stage, models_of
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.rejections import too_few_rows
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.user_files import labels_digest, source_digest
from skutune.store.base import ObjectStore


@dataclass
class _Entry:
    """The state of a ready stage. `planned` is the task without attempt and shards; it names the output folder."""

    planned: Task
    attempt: int = 0
    task: Task | None = None
    outcomes: list[AttemptOutcome] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


class StageTracker:
    """The stages of one run, as one controller sees them. `uid` is the uid of the controller's Job."""

    def __init__(self, store: ObjectStore, config: Config, plan: ClusterPlan, info: RunInfo, uid: str) -> None:
        self.store, self.config, self.plan, self.info, self.uid = store, config, plan, info, uid
        self.done: dict[str, Manifest] = {}
        self.progressed_at: dict[str, float] = {}
        self._entries: dict[str, _Entry] = {}
        self._source = self._models_source = self._labels = ""

    def read(self) -> None:
        """Read the digests of catalog, models and labels once, and each stage that has become ready.

        May be called at any time, and again after a failure.

        Raises:
            InputError: the catalog cannot be read, or an object in the store cannot be used by this version.
            RetryableError: the store failed.
        """
        self._source = self._source or source_digest(self.config.catalog.source)
        self._models_source = self._models_source or submit.models_source(self.config)
        self._labels = self._labels or labels_digest(self.config)
        for name in selected_stages(self.plan):
            if name not in self.done and name not in self._entries and self._is_ready(CLUSTER_STAGES[name]):
                self._load(name)

    def views(self) -> dict[str, StageView]:
        """The stages of the run, in order."""
        return {name: self._view(name) for name in selected_stages(self.plan)}

    def working(self) -> dict[str, str]:
        """The fingerprint that each unfinished stage writes to."""
        return {name: entry.planned.fingerprint for name, entry in self._entries.items() if entry.attempt}

    def task(self, name: str) -> Task | None:
        """The latest task of a ready stage."""
        return self._entries[name].task if name in self._entries else None

    def missing(self, name: str) -> list[int]:
        """The parts of a ready stage that were missing at the last read."""
        return self._entries[name].missing if name in self._entries else []

    def begin(self, name: str) -> Task | None:
        """The task to create a Job for: the open one, or a new attempt at the parts that are still missing.

        None if nothing is missing: pods of a previous attempt completed the stage in their grace period.
        """
        entry = self._entries[name]
        if self._is_open(entry) and entry.task is not None:
            return entry.task
        stage = CLUSTER_STAGES[name]
        folder = StageFolder.read(self.store, entry.planned.folder)
        if entry.attempt:
            entry.missing = self._merge(name, entry.planned, folder)
            if not entry.missing:
                return None
        shards = min(self.plan.stages[name].shards, len(entry.missing)) if stage.kind == "map" else 1
        task = submit.next_attempt(
            folder, self.info, stage, entry.planned, entry.missing, max(1, shards), submitter=self.uid
        )
        manifests.write_task(self.store, task)
        entry.task, entry.attempt = task, task.attempt
        return task

    def refresh(self, name: str) -> None:
        """Read a ready stage again."""
        self._entries.pop(name, None)
        self.read()

    def close(self, name: str, attempt: int, end: AttemptEnd, time: float) -> Manifest | AttemptOutcome:
        """End an attempt. Returns the stage's manifest if no part is missing, else the attempt's outcome."""
        if name in self.done:
            return self.done[name]
        entry = self._entries[name]
        if not self._merge(name, entry.planned, StageFolder.read(self.store, entry.planned.folder)):
            self.read()
            return self.done[name]
        outcome = AttemptOutcome(attempt, end.code, end.reason, end.final, end.avoid, self.uid, time)
        write_outcome(self.store, entry.planned.folder, outcome)
        self.refresh(name)
        return outcome

    def fail(self, name: str, reason: str, code: int, time: float) -> AttemptOutcome:
        """Record that a stage cannot be submitted."""
        entry = self._entries[name]
        outcome = AttemptOutcome(max(1, entry.attempt), code, reason, True, (), self.uid, time)
        write_outcome(self.store, entry.planned.folder, outcome)
        self.refresh(name)
        return outcome

    def _load(self, name: str) -> None:
        """Read whether a stage is done, and its attempts. Its entry is added only after all reads succeeded."""
        planned = self._plan_task(CLUSTER_STAGES[name])
        folder = StageFolder.read(self.store, planned.folder)
        if folder.manifest is not None:
            self._mark_done(name, planned, folder.manifest)
            return
        missing = self._merge(name, planned, folder)
        if not missing:  # a controller died after the last part, before the manifest
            return
        outcomes = [each for each in read_outcomes(folder) if each.submitter == self.uid]
        self._entries[name] = _Entry(planned, folder.attempt, folder.task, outcomes, missing)

    def _merge(self, name: str, planned: Task, folder: StageFolder) -> list[int]:
        """The missing parts. If there are none, the stage's manifest is written."""
        stage = CLUSTER_STAGES[name]
        missing = submit.missing_parts(folder, stage, self.info.buckets)
        if not missing:
            merged = submit.merge_attempts(folder, stage, self.info.buckets)
            manifests.write_manifest(self.store, planned.folder, merged)
            self._mark_done(name, planned, merged)
        return missing

    def _mark_done(self, name: str, planned: Task, manifest: Manifest) -> None:
        """Record a stage as done in the run's record. The next `read` picks up the stages that depend on it."""
        self.info = submit.record_done(self.store, self.info, CLUSTER_STAGES[name], planned, manifest)
        self.done[name] = manifest
        self._entries.pop(name, None)

    def _view(self, name: str) -> StageView:
        plan = self.plan.stages[name]
        if name in self.done:
            return self._done_view(name)
        entry = self._entries.get(name)
        if entry is None:
            waits_for = [other for other in self._reads(CLUSTER_STAGES[name]) if other not in self.done]
            return StageView(name, plan, "blocked", tuple(waits_for))
        return StageView(
            name,
            plan,
            "ready",
            (),
            entry.planned.fingerprint,
            entry.attempt,
            self._is_open(entry),
            self._pods(name, entry),
            tuple(entry.outcomes),
            self.progressed_at.get(name),
        )

    def _done_view(self, name: str) -> StageView:
        """A completed stage; it fails the run if it kept too few rows for the stages that read it."""
        manifest = self.done[name]
        reason = too_few_rows(name, self.config, manifest)
        failures = () if reason is None else (AttemptOutcome(1, InputError.exit_code, reason, True, (), self.uid, 0.0),)
        return StageView(name, self.plan.stages[name], "done", fingerprint=manifest.fingerprint, outcomes=failures)

    def _pods(self, name: str, entry: _Entry) -> int:
        plan = self.plan.stages[name]
        if plan.nodes > 1:
            return plan.nodes
        if self._is_open(entry) and entry.task is not None:
            return len(entry.task.shards)
        return max(1, min(plan.shards, len(entry.missing))) if CLUSTER_STAGES[name].kind == "map" else 1

    def _is_open(self, entry: _Entry) -> bool:
        """Whether the latest task belongs to this controller and has no outcome yet."""
        ended = any(outcome.attempt == entry.attempt for outcome in entry.outcomes)
        return entry.task is not None and entry.task.submitter == self.uid and not ended

    def _plan_task(self, stage: Stage) -> Task:
        inputs = {name: self.done[name] for name in stage.reads}
        config, identities = self.config, dict[str, str]()
        if stage.name == "models":
            stages = [CLUSTER_STAGES[name] for name in selected_stages(self.plan)]
            identities = {role: "" for each in stages for role in models_of(each, config)}
        elif "models" in self.done:
            config, identities = submit.with_mirrored_models(config, self.done["models"])
        sources = {"ingest": self._source, "models": self._models_source, "evaluate": self._labels}
        source = sources.get(stage.name, "")
        return submit.plan_task(config, self.info, stage, inputs, identities, source)

    def _reads(self, stage: Stage) -> tuple[str, ...]:
        """The stages that have to be done before this one. Only stages that use a model wait for the mirror."""
        return ("models", *stage.reads) if models_of(stage, self.config) else stage.reads

    def _is_ready(self, stage: Stage) -> bool:
        return all(name in self.done for name in self._reads(stage))
