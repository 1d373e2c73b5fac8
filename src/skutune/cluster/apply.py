"""Applies decisions. Every action is idempotent, and the next round recovers from a crash after any line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skutune.cluster.decide import Action, Close, Finish, ForceDelete, Remove, Resize, Start
from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi, ConflictError, RejectedError, now
from skutune.cluster.kube.events import EventRecorder
from skutune.cluster.kube.jobs import ControllerRef, build_job
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan
from skutune.cluster.stage_tracker import StageTracker
from skutune.errors import InputError, RetryableError
from skutune.pipeline.manifests import Manifest, Task

_RETRY_SECONDS = 10.0


@dataclass
class Applier:
    """Applies actions. `templates` holds the `template` of each stage's PodTemplate."""

    api: ClusterApi
    tracker: StageTracker
    plan: ClusterPlan
    controller: ControllerRef
    templates: Mapping[str, dict[str, Any]]
    recorder: EventRecorder
    rejections: dict[str, tuple[float, str]]
    """Stages whose Job the API server rejected: the time of the next try, and the server's message."""
    _rejected_since: dict[str, float] = field(default_factory=dict)

    def apply(self, action: Action) -> None:
        """Apply one action. The caller handles Finish itself."""
        match action:
            case Start():
                self._start(action)
            case Resize():
                self._resize(action)
            case Close():
                self._close(action)
            case Remove(job=job, reason=reason):
                self.api.delete("jobs", job.name, job.uid)
                self.recorder.record("JobRemoved", f"{job.name}: {reason}", stage=job.stage)
            case ForceDelete(pod=pod):
                self.api.delete("pods", pod, grace_seconds=0)
                self.recorder.record("PodForceDeleted", f"pod {pod}: its node is unreachable", warning=True)
            case Finish():
                raise ValueError("the caller handles Finish")

    def _resize(self, action: Resize) -> None:
        try:
            self.api.patch("jobs", action.job, {"spec": {"parallelism": action.parallelism}})
        except RejectedError as error:  # the Job goes on with its present parallelism
            self.recorder.record("ScaleUpFailed", f"{action.stage}: {error}", warning=True, stage=action.stage)
            return
        message = f"{action.stage}: parallelism raised to {action.parallelism}"
        self.recorder.record("StageScaledUp", message, stage=action.stage)

    def _start(self, action: Start) -> None:
        task = self.tracker.begin(action.stage)
        if task is None:
            return
        body = self._job(task, action)
        try:
            self.api.create("jobs", body)
        except ConflictError:
            self._clear_rejection(action.stage)
            self._adopt(task, body)
        except RejectedError as error:
            self._record_rejection(action.stage, str(error))
        else:
            self._clear_rejection(action.stage)
            parts = sum(len(shard) for shard in task.shards)
            self.recorder.record(
                "StageStarted",
                f"{action.stage}: attempt {task.attempt} started with {parts} parts and {action.parallelism} pods",
                stage=action.stage,
                job=body["metadata"]["name"],
                attempt=task.attempt,
            )

    def _job(self, task: Task, action: Start) -> dict[str, Any]:
        return build_job(
            self.templates[action.stage],
            task,
            f"{self.tracker.store.uri}/{task.key}",
            self.plan.stages[action.stage],
            action.parallelism,
            action.avoid,
            self.controller,
            self.tracker.store.uri,
        )

    def _adopt(self, task: Task, body: dict[str, Any]) -> None:
        """Handle an existing Job of the same name: ours from before a crash, or an old controller's, still there."""
        name = body["metadata"]["name"]
        existing = self.api.get("jobs", name)
        if existing is None:
            return  # deleted in the meantime: the next round creates it
        metadata = existing["metadata"]
        if metadata.get("labels", {}).get(names.INSTANCE) != self.controller.release:
            self.tracker.fail(
                task.stage, f"a Job named {name} exists but does not belong to this release; delete it", 10, now()
            )
            return
        annotations = metadata.get("annotations", {})
        is_same_spec = annotations.get(names.SPEC_HASH) == body["metadata"]["annotations"][names.SPEC_HASH]
        owners = [owner["uid"] for owner in metadata.get("ownerReferences") or []]
        if self.controller.job_uid in owners:
            message = "has the same spec" if is_same_spec else "was created from another pod template"
            self.recorder.record("JobAdopted", f"Job {name} already exists and {message}", stage=task.stage)

    def _record_rejection(self, stage: str, message: str) -> None:
        """Retry for `queued_seconds` while a quota is exceeded, and for `grace_seconds` after any other rejection."""
        since = self._rejected_since.setdefault(stage, now())
        self.rejections[stage] = (now() + _RETRY_SECONDS, message)
        is_quota = "exceeded quota" in message
        limit = self.plan.stages[stage].queued_seconds if is_quota else self.plan.grace_seconds
        if now() - since > limit:
            code = RetryableError.exit_code if is_quota else InputError.exit_code
            self.tracker.fail(stage, message, code, now())

    def _clear_rejection(self, stage: str) -> None:
        self.rejections.pop(stage, None)
        self._rejected_since.pop(stage, None)

    def _close(self, action: Close) -> None:
        job = action.job
        task = self.tracker.task(action.stage)
        result = self.tracker.close(action.stage, job.attempt, action.end, now())
        if isinstance(result, Manifest):
            self.recorder.record(
                "StageCompleted",
                f"{action.stage}: {result.rows()} rows in {len(result.parts())} parts, {result.rejected()} rejected",
                stage=action.stage,
                attempt=job.attempt,
                rows=result.rows(),
                tokens=result.stats.completion_tokens,
            )
            if job.finished == "complete":
                return  # kept, so that `kubectl get jobs` lists every completed stage
        else:
            self._record_failure(action.stage, task, result)
            if job.finished and self.tracker.views()[action.stage].failed is not None:
                return  # kept with its pods and their logs for debugging
        self.api.delete("jobs", job.name, job.uid)

    def _record_failure(self, stage: str, task: Task | None, outcome: AttemptOutcome) -> None:
        view = self.tracker.views()[stage]
        completed = sum(len(shard) for shard in task.shards) - len(self.tracker.missing(stage)) if task else 0
        message = f"{stage}: attempt {outcome.attempt} failed after {completed} parts: {outcome.reason}"
        reason = "StageFailed" if view.failed is not None else "AttemptFailed"
        self.recorder.record(reason, message, warning=True, stage=stage, attempt=outcome.attempt, code=outcome.code)
