"""What was decided, done: each action may be repeated, and a crash after any line leaves what the next round mends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skutune.cluster.decide import Action, Close, Finish, ForceDelete, Remove, Resize, Start
from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi, ConflictError, RefusedError, now
from skutune.cluster.kube.events import EventRecorder
from skutune.cluster.kube.jobs import ControllerRef, build_job
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan
from skutune.cluster.stage_tracker import StageTracker
from skutune.errors import InputError, RetryableError
from skutune.pipeline.manifests import Manifest, Task

_ASK_AGAIN_SECONDS = 10.0


@dataclass
class Applier:
    """Carries out actions; `templates` are the stages' PodTemplates, read once."""

    api: ClusterApi
    ledger: StageTracker
    plan: ClusterPlan
    controller: ControllerRef
    templates: Mapping[str, dict[str, Any]]
    teller: EventRecorder
    refused: dict[str, tuple[float, str]]
    """Stages whose Job the API server refused: when to ask again, and what it said."""
    _refused_since: dict[str, float] = field(default_factory=dict)

    def apply(self, action: Action) -> None:
        """Carry out one action but Finish, which is the caller's."""
        match action:
            case Start():
                self._start(action)
            case Resize():
                self._resize(action)
            case Close():
                self._close(action)
            case Remove(job=job, reason=reason):
                self.api.delete("jobs", job.name, job.uid)
                self.teller.tell("JobRemoved", f"{job.name}: {reason}", stage=job.stage)
            case ForceDelete(pod=pod):
                self.api.delete("pods", pod, grace_seconds=0)
                self.teller.tell("PodForceDeleted", f"{pod}: its node does not answer", warning=True)
            case Finish():
                raise ValueError("the caller ends the run")

    def _resize(self, action: Resize) -> None:
        try:
            self.api.patch("jobs", action.job, {"spec": {"parallelism": action.parallelism}})
        except RefusedError as error:  # it works on as it is
            self.teller.tell("StageNotWidened", f"{action.stage}: {error}", warning=True, stage=action.stage)
            return
        words = f"{action.stage}: {action.parallelism} pods at the same time"
        self.teller.tell("StageWidened", words, stage=action.stage)

    def _start(self, action: Start) -> None:
        task = self.ledger.begin(action.stage)
        if task is None:
            return
        body = self._job(task, action)
        try:
            self.api.create("jobs", body)
        except ConflictError:
            self._forget_refusal(action.stage)
            self._adopt(task, body)
        except RefusedError as error:
            self._note_refusal(action.stage, str(error))
        else:
            self._forget_refusal(action.stage)
            parts = sum(len(shard) for shard in task.shards)
            self.teller.tell(
                "StageStarted",
                f"{action.stage}: attempt {task.attempt} over {parts} parts, {action.parallelism} pods",
                stage=action.stage,
                job=body["metadata"]["name"],
                attempt=task.attempt,
            )

    def _job(self, task: Task, action: Start) -> dict[str, Any]:
        return build_job(
            self.templates[action.stage],
            task,
            f"{self.ledger.store.uri}/{task.key}",
            self.plan.stages[action.stage],
            action.parallelism,
            action.avoid,
            self.controller,
            self.ledger.store.uri,
        )

    def _adopt(self, task: Task, body: dict[str, Any]) -> None:
        """A Job of this name is there: ours from before a crash, or an ending one of the controller before us."""
        name = body["metadata"]["name"]
        there = self.api.get("jobs", name)
        if there is None:
            return  # gone in between: the next round makes it
        metadata = there["metadata"]
        if metadata.get("labels", {}).get(names.INSTANCE) != self.controller.release:
            self.ledger.fail(
                task.stage, f"a Job named {name} is there that is not of this release; delete it", 10, now()
            )
            return
        same = metadata.get("annotations", {}).get(names.SPEC_HASH) == body["metadata"]["annotations"][names.SPEC_HASH]
        owners = [owner["uid"] for owner in metadata.get("ownerReferences") or []]
        if self.controller.job_uid in owners:
            words = "as it was asked for" if same else "made from other templates"
            self.teller.tell("JobAdopted", f"{name} is there already, {words}", stage=task.stage)

    def _note_refusal(self, stage: str, message: str) -> None:
        """A quota may free itself; what else is refused is given a short time to heal."""
        since = self._refused_since.setdefault(stage, now())
        self.refused[stage] = (now() + _ASK_AGAIN_SECONDS, message)
        is_quota = "exceeded quota" in message
        limit = self.plan.stages[stage].queued_seconds if is_quota else self.plan.grace_seconds
        if now() - since > limit:
            code = RetryableError.exit_code if is_quota else InputError.exit_code
            self.ledger.fail(stage, message, code, now())

    def _forget_refusal(self, stage: str) -> None:
        self.refused.pop(stage, None)
        self._refused_since.pop(stage, None)

    def _close(self, action: Close) -> None:
        job = action.job
        task = self.ledger.task(action.stage)
        result = self.ledger.close(action.stage, job.attempt, action.end, now())
        if isinstance(result, Manifest):
            self.teller.tell(
                "StageDone",
                f"{action.stage}: {result.rows()} rows in {len(result.parts())} parts, {result.rejected()} rejected",
                stage=action.stage,
                attempt=job.attempt,
                rows=result.rows(),
                tokens=result.stats.completion_tokens,
            )
            if job.finished == "complete":
                return  # stays: `kubectl get jobs` reads as the pipeline
        else:
            self._tell_failure(action.stage, task, result)
            if job.finished and self.ledger.views()[action.stage].failed is not None:
                return  # stays with its pods and their logs for whoever looks into it
        self.api.delete("jobs", job.name, job.uid)

    def _tell_failure(self, stage: str, task: Task | None, outcome: AttemptOutcome) -> None:
        view = self.ledger.views()[stage]
        made = sum(len(shard) for shard in task.shards) - len(self.ledger.missing(stage)) if task else 0
        words = f"{stage}: attempt {outcome.attempt} made {made} parts and failed: {outcome.reason}"
        kind = "StageFailed" if view.failed is not None else "AttemptFailed"
        self.teller.tell(kind, words, warning=True, stage=stage, attempt=outcome.attempt, code=outcome.code)
