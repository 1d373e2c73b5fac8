"""What the controller sees, reduced to what it decides by: Jobs, pods, events, and what the store holds.

Built from the API's JSON by `job_view`, `pod_view` and `event_view`; everything else is left behind, so that a thousand
pods cost little memory. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from skutune.cluster.kube import names

WORKER = "worker"
"""The container whose exit code is the shard's."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A stage's Job. `finished` is complete or failed once its pods have ended; `reason` and `message` are its own."""

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
        """Indexes that have neither succeeded nor failed for good."""
        return max(0, self.completions - self.succeeded - self.failed_indexes)


@dataclass(frozen=True, slots=True)
class PodView:
    """A stage's pod, unless it succeeded.

    `unschedulable` and `waiting` hold what the scheduler or the kubelet says; `scheduled` and `started` are None until
    then; `exit_code` is the worker's; `disrupted` is the reason of its eviction, and `ignored` the number of evictions
    of its index before it, which outlast the evicted pods.
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
        """Whether it holds its devices, or waits for them."""
        return self.phase not in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class EventView:
    """A warning about a Job or a pod."""

    object: str
    reason: str
    message: str
    time: float


def evictions(pods: Iterable[PodView]) -> int:
    """How often pods of a Job were evicted, as far as its pods that are there tell."""
    counts: dict[tuple[str, int], int] = {}
    for pod in pods:
        place = (pod.job, pod.index)
        counts[place] = max(counts.get(place, 0), pod.ignored + bool(pod.disrupted))
    return sum(counts.values())


def job_view(job: Mapping[str, Any]) -> JobView:
    """A Job as the API gives it."""
    meta, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    ended = _condition(status, "Complete") or _condition(status, "Failed") or {}
    return JobView(
        name=meta["name"],
        uid=meta["uid"],
        run=labels.get(names.RUN, ""),
        stage=labels.get(names.STAGE, ""),
        attempt=int(labels.get(names.ATTEMPT, "0")),
        fingerprint=notes.get(names.FINGERPRINT, ""),
        spec_hash=notes.get(names.SPEC_HASH, ""),
        owner_uid=next((owner["uid"] for owner in meta.get("ownerReferences") or []), ""),
        completions=spec.get("completions") or 1,
        parallelism=spec.get("parallelism", 1),
        devices=int(notes.get(names.DEVICES, "0")),
        succeeded=status.get("succeeded") or 0,
        failed_indexes=_indexes(status.get("failedIndexes") or ""),
        finished={"Complete": "complete", "Failed": "failed"}.get(ended.get("type", ""), ""),  # type: ignore[arg-type]
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in meta,
        created=_time(meta.get("creationTimestamp")) or 0.0,
    )


def pod_view(pod: Mapping[str, Any]) -> PodView:
    """A pod as the API gives it."""
    meta, status = pod["metadata"], pod.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    placed = _condition(status, "PodScheduled") or {}
    refused = _condition(status, "PodScheduled", "False") or {}
    container = _worker(status)
    state = container.get("state") or {}
    ended = state.get("terminated") or {}
    blocked = _blocked(status, state)
    return PodView(
        name=meta["name"],
        job=labels.get("batch.kubernetes.io/job-name", ""),
        stage=labels.get(names.STAGE, ""),
        index=int(notes.get("batch.kubernetes.io/job-completion-index", "0")),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        phase=status.get("phase", "Pending"),
        devices=int(notes.get(names.DEVICES, "0")),
        created=_time(meta.get("creationTimestamp")) or 0.0,
        scheduled=_time(placed.get("lastTransitionTime")),
        started=_time((state.get("running") or ended).get("startedAt")),
        unschedulable=refused.get("message", "") or refused.get("reason", ""),
        waiting=blocked.get("reason", ""),
        waiting_message=blocked.get("message", ""),
        exit_code=ended.get("exitCode"),
        # A pod's own reason, as of a volume that grew too large, tells more than how its program ended.
        exit_reason=status.get("reason") or ended.get("reason", ""),
        exit_message=(status.get("message") or ended.get("message") or "").strip(),
        disrupted=(_condition(status, "DisruptionTarget") or {}).get("reason", ""),
        ignored=int(notes.get("batch.kubernetes.io/job-index-ignored-failure-count", "0")),
        run=labels.get(names.RUN, ""),
        job_uid=labels.get("batch.kubernetes.io/controller-uid", ""),
        deleted=_time(meta.get("deletionTimestamp")),
    )


def event_view(event: Mapping[str, Any]) -> EventView:
    """An event as the API gives it."""
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


def _blocked(status: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Why the worker, or an init container before it, does not start."""
    for container in status.get("initContainerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") != "PodInitializing":
            return dict(waiting)
    return dict(state.get("waiting") or {})


def _indexes(text: str) -> int:
    """How many indexes a text like `0-2,5` names."""
    total = 0
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
