"""Jobs, pods and Events, reduced to the fields that decisions need, so that a thousand pods use little memory.

`job_view`, `pod_view` and `event_view` build them from the API's JSON. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from skutune.cluster.kube import names

WORKER = "worker"
"""The container whose exit code is the shard's exit code."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A stage's Job. `finished` is set once all its pods have ended; `reason` and `message` are its condition's."""

    name: str
    uid: str
    run: str
    stage: str
    attempt: int
    fingerprint: str
    spec_hash: str
    owner_uid: str
    completions: int
    parallelism: int
    devices: int
    succeeded: int
    failed_indexes: int
    finished: Literal["", "complete", "failed"]
    reason: str
    message: str
    suspended: bool
    deleting: bool
    created: float

    @property
    def remaining(self) -> int:
        """Indexes that have neither succeeded nor failed."""
        return max(0, self.completions - self.succeeded - self.failed_indexes)


@dataclass(frozen=True, slots=True)
class PodView:
    """A stage's pod.

    Attributes:
        scheduled: time of scheduling, None before.
        started: start time of the worker container, None before.
        unschedulable: the scheduler's message.
        waiting: the kubelet's reason why a container waits, as in ImagePullBackOff.
        exit_code: exit code of the worker container.
        disrupted: reason of the eviction (condition DisruptionTarget).
        ignored: earlier evictions of the same index, which Kubernetes counts beyond the life of the evicted pods.
        deleted: deletion deadline, None while the pod is not being deleted.
    """

    name: str
    job: str
    stage: str
    index: int
    node: str
    phase: str
    devices: int
    created: float
    scheduled: float | None = None
    started: float | None = None
    unschedulable: str = ""
    waiting: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    disrupted: str = ""
    ignored: int = 0
    run: str = ""
    job_uid: str = ""
    deleted: float | None = None

    @property
    def live(self) -> bool:
        """Whether it has not ended: it holds devices or waits for them."""
        return self.phase not in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class EventView:
    """A warning Event about a Job or a pod."""

    object: str
    reason: str
    message: str
    time: float


def evictions(pods: Iterable[PodView]) -> int:
    """The number of evictions of a Job's pods, as far as the existing pods record them."""
    counts: dict[tuple[str, int], int] = {}
    for pod in pods:
        place = (pod.job, pod.index)
        counts[place] = max(counts.get(place, 0), pod.ignored + bool(pod.disrupted))
    return sum(counts.values())


def job_view(job: Mapping[str, Any]) -> JobView:
    """Build a view from a Job object."""
    meta, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    terminated = _condition(status, "Complete") or _condition(status, "Failed") or {}
    return JobView(
        name=meta["name"],
        uid=meta["uid"],
        run=labels.get(names.RUN, ""),
        stage=labels.get(names.STAGE, ""),
        attempt=int(labels.get(names.ATTEMPT, "0")),
        fingerprint=annotations.get(names.FINGERPRINT, ""),
        spec_hash=annotations.get(names.SPEC_HASH, ""),
        owner_uid=next((owner["uid"] for owner in meta.get("ownerReferences") or []), ""),
        completions=spec.get("completions") or 1,
        parallelism=spec.get("parallelism", 1),
        devices=int(annotations.get(names.DEVICES, "0")),
        succeeded=status.get("succeeded") or 0,
        failed_indexes=_count_indexes(status.get("failedIndexes") or ""),
        finished={"Complete": "complete", "Failed": "failed"}.get(terminated.get("type", ""), ""),  # type: ignore[arg-type]
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in meta,
        created=_time(meta.get("creationTimestamp")) or 0.0,
    )


def pod_view(pod: Mapping[str, Any]) -> PodView:
    """Build a view from a Pod object."""
    meta, status = pod["metadata"], pod.get("status") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    scheduled_condition = _condition(status, "PodScheduled") or {}
    unschedulable_condition = _condition(status, "PodScheduled", "False") or {}
    container = _worker(status)
    state = container.get("state") or {}
    terminated = state.get("terminated") or {}
    waiting_state = _waiting_reason(status, state)
    return PodView(
        name=meta["name"],
        job=labels.get("batch.kubernetes.io/job-name", ""),
        stage=labels.get(names.STAGE, ""),
        index=int(annotations.get("batch.kubernetes.io/job-completion-index", "0")),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        phase=status.get("phase", "Pending"),
        devices=int(annotations.get(names.DEVICES, "0")),
        created=_time(meta.get("creationTimestamp")) or 0.0,
        scheduled=_time(scheduled_condition.get("lastTransitionTime")),
        started=_time((state.get("running") or terminated).get("startedAt")),
        unschedulable=unschedulable_condition.get("message", "") or unschedulable_condition.get("reason", ""),
        waiting=waiting_state.get("reason", ""),
        waiting_message=waiting_state.get("message", ""),
        exit_code=terminated.get("exitCode"),
        # The pod's own reason, such as an exceeded volume size, is more specific than the container's.
        exit_reason=status.get("reason") or terminated.get("reason", ""),
        exit_message=(status.get("message") or terminated.get("message") or "").strip(),
        disrupted=(_condition(status, "DisruptionTarget") or {}).get("reason", ""),
        ignored=int(annotations.get("batch.kubernetes.io/job-index-ignored-failure-count", "0")),
        run=labels.get(names.RUN, ""),
        job_uid=labels.get("batch.kubernetes.io/controller-uid", ""),
        deleted=_time(meta.get("deletionTimestamp")),
    )


def event_view(event: Mapping[str, Any]) -> EventView:
    """Build a view from an Event object."""
    when = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return EventView(
        event["involvedObject"].get("name", ""), event.get("reason", ""), event.get("message", ""), _time(when) or 0.0
    )


def _condition(status: Mapping[str, Any], kind: str, value: str = "True") -> Mapping[str, Any] | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == kind and condition["status"] == value:
            return dict(condition)
    return None


def _worker(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or []:
        if container["name"] == WORKER:
            return dict(container)
    return {}


def _waiting_reason(status: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `waiting` state of the worker, or of an init container before it."""
    for container in status.get("initContainerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") != "PodInitializing":
            return dict(waiting)
    return dict(state.get("waiting") or {})


def _count_indexes(text: str) -> int:
    """The number of indexes in a list like `0-2,5`."""
    total = 0
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
