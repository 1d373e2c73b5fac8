"""What the store holds of a run, and the controller's writing to it: tasks, outcomes, manifests, the run's record.

Read once for each stage when it becomes ready and again when one of its attempts ends, so that what it costs grows with
what happens, not with time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skutune.cluster.diagnosis import AttemptEnd
from skutune.cluster.outcomes import AttemptOutcome, read_outcomes, write_outcome
from skutune.cluster.plan import ClusterPlan, wanted_stages
from skutune.cluster.snapshot import StageView
from skutune.config.schema import Config
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import CLUSTER_STAGES, Stage, models_of
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.user_files import labels_digest, source_digest
from skutune.store.base import ObjectStore


@dataclass
class _Entry:
    """What is known of a stage that is ready: its draft says where its output lies."""

    draft: Task
    attempt: int = 0
    task: Task | None = None
    outcomes: list[AttemptOutcome] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


class StageTracker:
    """A run in the store, as one controller reads and writes it; `uid` is that of the controller's Job."""

    def __init__(self, store: ObjectStore, config: Config, plan: ClusterPlan, info: RunInfo, uid: str) -> None:
        self.store, self.config, self.plan, self.info, self.uid = store, config, plan, info, uid
        self.done: dict[str, Manifest] = {}
        self.progressed: dict[str, float] = {}
        self._entries: dict[str, _Entry] = {}
        self._source = self._models_source = self._labels = ""

    def read(self) -> None:
        """Read what is new: the state of catalog, models and labels once, and each stage that has become ready.

        May be called at any time, and again after it failed.

        Raises:
            InputError: the catalog cannot be read, or the store holds what this version cannot use.
            RetryableError: the store failed.
        """
        self._source = self._source or source_digest(self.config.catalog.source)
        self._models_source = self._models_source or submit.models_source(self.config)
        self._labels = self._labels or labels_digest(self.config)
        for name in wanted_stages(self.plan):
            if name not in self.done and name not in self._entries and self._is_ready(CLUSTER_STAGES[name]):
                self._enter(name)

    def views(self) -> dict[str, StageView]:
        """The stages of the run, in their order."""
        return {name: self._view(name) for name in wanted_stages(self.plan)}

    def working(self) -> dict[str, str]:
        """The fingerprint that each unfinished stage writes to."""
        return {name: entry.draft.fingerprint for name, entry in self._entries.items() if entry.attempt}

    def task(self, name: str) -> Task | None:
        """The newest task of a stage that is ready."""
        return self._entries[name].task if name in self._entries else None

    def missing(self, name: str) -> list[int]:
        """The parts of a ready stage that were missing when it was last read."""
        return self._entries[name].missing if name in self._entries else []

    def begin(self, name: str) -> Task | None:
        """The task to make a Job for: the open one, or a new attempt over the parts that are missing by now.

        None where nothing is missing any more: what an ended attempt's pods made in their grace has done the stage.
        """
        entry = self._entries[name]
        if self._is_open(entry) and entry.task is not None:
            return entry.task
        stage = CLUSTER_STAGES[name]
        folder = StageFolder.read(self.store, entry.draft.folder)
        if entry.attempt:
            entry.missing = self._merge(name, entry.draft, folder)
            if not entry.missing:
                return None
        shards = min(self.plan.stages[name].shards, len(entry.missing)) if stage.kind == "map" else 1
        task = submit.next_attempt(
            folder, self.info, stage, entry.draft, entry.missing, max(1, shards), submitter=self.uid
        )
        manifests.write_task(self.store, task)
        entry.task, entry.attempt = task, task.attempt
        return task

    def refresh(self, name: str) -> None:
        """Forget a stage that is ready, so that it is read again."""
        self._entries.pop(name, None)
        self.read()

    def close(self, name: str, attempt: int, ending: AttemptEnd, time: float) -> Manifest | AttemptOutcome:
        """End an attempt: the stage's manifest where all its parts are there, else what became of it."""
        if name in self.done:
            return self.done[name]
        entry = self._entries[name]
        if not self._merge(name, entry.draft, StageFolder.read(self.store, entry.draft.folder)):
            self.read()
            return self.done[name]
        outcome = AttemptOutcome(attempt, ending.code, ending.reason, ending.final, ending.avoid, self.uid, time)
        write_outcome(self.store, entry.draft.folder, outcome)
        self.refresh(name)
        return outcome

    def fail(self, name: str, reason: str, code: int, time: float) -> AttemptOutcome:
        """Record that a stage cannot be submitted at all."""
        entry = self._entries[name]
        outcome = AttemptOutcome(max(1, entry.attempt), code, reason, True, (), self.uid, time)
        write_outcome(self.store, entry.draft.folder, outcome)
        self.refresh(name)
        return outcome

    def _enter(self, name: str) -> None:
        """Find out whether a stage is done, and what was tried. Kept only once all of it is read."""
        draft = self._draft(CLUSTER_STAGES[name])
        folder = StageFolder.read(self.store, draft.folder)
        if folder.manifest is not None:
            self._finish(name, draft, folder.manifest)
            return
        missing = self._merge(name, draft, folder)
        if not missing:  # a controller ended between the last part and the manifest
            return
        outcomes = [each for each in read_outcomes(folder) if each.submitter == self.uid]
        self._entries[name] = _Entry(draft, folder.attempt, folder.task, outcomes, missing)

    def _merge(self, name: str, draft: Task, folder: StageFolder) -> list[int]:
        """The missing parts; where there are none, the stage's manifest is written."""
        stage = CLUSTER_STAGES[name]
        missing = submit.missing_parts(folder, stage, self.info.buckets)
        if not missing:
            merged = submit.merge_attempts(folder, stage, self.info.buckets)
            manifests.write_manifest(self.store, draft.folder, merged)
            self._finish(name, draft, merged)
        return missing

    def _finish(self, name: str, draft: Task, manifest: Manifest) -> None:
        """A stage is done once the run's record says so; what reads it is entered by the next `read`."""
        self.info = submit.record_done(self.store, self.info, CLUSTER_STAGES[name], draft, manifest)
        self.done[name] = manifest
        self._entries.pop(name, None)

    def _view(self, name: str) -> StageView:
        plan = self.plan.stages[name]
        if name in self.done:
            return StageView(name, plan, "done", fingerprint=self.done[name].fingerprint)
        entry = self._entries.get(name)
        if entry is None:
            waits_for = [other for other in self._reads(CLUSTER_STAGES[name]) if other not in self.done]
            return StageView(name, plan, "blocked", tuple(waits_for))
        return StageView(
            name,
            plan,
            "ready",
            (),
            entry.draft.fingerprint,
            entry.attempt,
            self._is_open(entry),
            self._pods(name, entry),
            tuple(entry.outcomes),
            self.progressed.get(name),
        )

    def _pods(self, name: str, entry: _Entry) -> int:
        plan = self.plan.stages[name]
        if plan.nodes > 1:
            return plan.nodes
        if self._is_open(entry) and entry.task is not None:
            return len(entry.task.shards)
        return max(1, min(plan.shards, len(entry.missing))) if CLUSTER_STAGES[name].kind == "map" else 1

    def _is_open(self, entry: _Entry) -> bool:
        """Whether the newest task waits for its end under this controller."""
        ended = any(outcome.attempt == entry.attempt for outcome in entry.outcomes)
        return entry.task is not None and entry.task.submitter == self.uid and not ended

    def _draft(self, stage: Stage) -> Task:
        inputs = {name: self.done[name] for name in stage.reads}
        config, identities = self.config, dict[str, str]()
        if stage.name == "models":
            wanted = [CLUSTER_STAGES[name] for name in wanted_stages(self.plan)]
            identities = {role: "" for each in wanted for role in models_of(each, config)}
        elif "models" in self.done:
            config, identities = submit.with_mirrored_models(config, self.done["models"])
        sources = {"ingest": self._source, "models": self._models_source, "evaluate": self._labels}
        source = sources.get(stage.name, "")
        return submit.plan_task(config, self.info, stage, inputs, identities, source)

    def _reads(self, stage: Stage) -> tuple[str, ...]:
        """What must be done before a stage: those that need no model do not wait for the mirror."""
        return ("models", *stage.reads) if models_of(stage, self.config) else stage.reads

    def _is_ready(self, stage: Stage) -> bool:
        return all(name in self.done for name in self._reads(stage))
