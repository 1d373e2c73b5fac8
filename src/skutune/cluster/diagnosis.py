"""Diagnosis of an attempt: why it failed, whether it has to be ended, and what its pods wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skutune.cluster.kube.jobs import KILLED
from skutune.cluster.kube.views import JobView, PodView, evictions
from skutune.cluster.snapshot import Snapshot, StageView
from skutune.errors import DeviceError, InputError, RetryableError, ShardError, SkutuneError, StoppedError
from skutune.process.error_log import last_error_message

_STARTUP_ERRORS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
_CONTAINER_ERRORS = {"StartError", "ContainerCannotRun"}
_EVENT_MAX_AGE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """Why an attempt is over. `final`: another attempt would fail the same way."""

    code: int
    reason: str
    final: bool = False
    avoid: tuple[str, ...] = ()


def attempt_end(snapshot: Snapshot, stage: StageView, job: JobView) -> AttemptEnd | None:
    """Why a Job's attempt is over or has to be ended, or None while it may continue."""
    pods = snapshot.pods_of(job)
    if job.finished == "complete":
        return AttemptEnd(
            RetryableError.exit_code, "all pods succeeded, but parts of the stage's output are missing in the store"
        )
    if job.finished == "failed":
        return _failure(stage, job, pods)
    if job.deleting:
        return None
    for check in _CHECKS:
        end = check(snapshot, stage, job, pods)
        if end is not None:
            return end
    return None


def waiting(snapshot: Snapshot, stage: StageView, job: JobView) -> str | None:
    """What a Job's pods wait for, or None while they run."""
    if job.suspended:
        return "waiting for admission by Kueue"
    if job.deleting:
        return "waiting for a previous Job to terminate"
    pods = snapshot.pods_of(job)
    for pod in pods:
        if is_unreachable(snapshot, pod):
            return (
                f"node {pod.node} is unreachable, so pod {pod.name} cannot terminate and is not replaced; "
                "make sure that the machine is off, then delete the node or force-delete the pod"
            )
    for pod in pods:
        if pod.live and pod.unschedulable:
            avoided = sorted({node for outcome in stage.outcomes for node in outcome.avoid})
            note = f" (excluded for a faulty device: {', '.join(avoided)})" if avoided else ""
            return f"unschedulable: {pod.unschedulable}{note}"
    for pod in pods:
        if pod.live and pod.started is None and pod.waiting in _STARTUP_ERRORS:
            return f"container cannot start: {pod.waiting}: {pod.waiting_message}"
    for pod in pods:
        if pod.live and pod.started is None and pod.scheduled is not None:
            warnings = snapshot.warnings_about(pod.name)
            starting = f"starting on node {pod.node}"
            return f"{starting}: {warnings[-1].message}" if warnings else starting
    if not any(pod.live for pod in pods):
        warnings = snapshot.warnings_about(job.name)
        if warnings:
            return f"pod creation failed: {warnings[-1].message}"
        failed = [pod for pod in pods if pod.phase == "Failed"]
        if failed and not job.finished:
            cause = "was evicted" if failed[-1].disrupted else "failed"
            return f"pod {failed[-1].name} {cause}; the Job controller recreates it with exponential backoff"
    return None


def is_unreachable(snapshot: Snapshot, pod: PodView) -> bool:
    """Whether a pod is overdue to terminate, which means that the kubelet of its node is unreachable."""
    return pod.live and pod.deleted is not None and snapshot.now - pod.deleted > snapshot.plan.unreachable_seconds


def _failure(stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd:
    """The most severe cause among the pods of a failed Job."""
    failed = [pod for pod in pods if pod.phase == "Failed" and not pod.disrupted]
    if not failed:
        message = f"{job.reason}: {job.message}" if job.message else job.reason
        return AttemptEnd(RetryableError.exit_code, message or "the Job failed without a reason")
    causes = [_cause(stage, pod) for pod in failed]
    worst = max(causes, key=lambda cause: (cause.final, cause.code == InputError.exit_code, cause.code))
    avoid = sorted({node for cause in causes for node in cause.avoid})
    return AttemptEnd(worst.code, worst.reason, worst.final, tuple(avoid))


def _cause(stage: StageView, pod: PodView) -> AttemptEnd:
    code = pod.exit_code if pod.exit_code is not None else SkutuneError.exit_code
    message = f"shard {pod.index}: {last_error_message(pod.exit_message, code)}"
    if pod.exit_reason == "OOMKilled":  # also exit code 137, but a retry would run out of memory again
        return AttemptEnd(
            InputError.exit_code,
            f"shard {pod.index} exceeded its memory limit (OOMKilled); raise "
            f"stages.{stage.name}.resources.limits.memory",
            final=True,
        )
    if pod.exit_reason == "Evicted":  # it exceeded a limit of its own, for example a volume's; not a disruption
        return AttemptEnd(InputError.exit_code, f"shard {pod.index} was evicted: {pod.exit_message}", final=True)
    if pod.exit_reason in _CONTAINER_ERRORS:
        return AttemptEnd(InputError.exit_code, f"container cannot start: {message}", final=True)
    if code in (InputError.exit_code, ShardError.exit_code):
        return AttemptEnd(code, message, final=True)
    if code == DeviceError.exit_code:
        return AttemptEnd(code, f"{message} (on node {pod.node})", avoid=(pod.node,) if pod.node else ())
    if code in (KILLED, StoppedError.exit_code):
        return AttemptEnd(
            RetryableError.exit_code, f"shard {pod.index} was killed (exit code {code}) on node {pod.node}"
        )
    return AttemptEnd(code, message)


def _check_startup_errors(snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    """Image, config and admission errors, which resolve within the grace period or never."""
    for name, message in startup_errors(snapshot, job):
        if snapshot.now - snapshot.startup_errors_since.get(name, snapshot.now) > snapshot.plan.grace_seconds:
            return AttemptEnd(InputError.exit_code, message, final=True)
    return None


def startup_errors(snapshot: Snapshot, job: JobView) -> Iterator[tuple[str, str]]:
    """Current image, config and admission errors: the name of the pod or Job, and the message."""
    pods = snapshot.pods_of(job)
    for pod in pods:
        if not pod.live or pod.started is not None:
            continue
        if pod.waiting in _STARTUP_ERRORS:
            yield pod.name, f"container cannot start: {pod.waiting}: {pod.waiting_message}"
        # Only the message tells a permanent error from a slow start.
        if "persistentvolumeclaim" in pod.unschedulable and "not found" in pod.unschedulable:
            yield pod.name, pod.unschedulable
        for event in snapshot.warnings_about(pod.name):
            is_recent = snapshot.now - event.time < _EVENT_MAX_AGE_SECONDS  # the kubelet repeats it every two minutes
            if is_recent and event.reason == "FailedMount" and "not found" in event.message:
                yield pod.name, event.message
    if not any(pod.live for pod in pods):
        since = snapshot.unscheduled_since.get(job.name, job.created)
        for event in snapshot.warnings_about(job.name):
            is_recent = event.time >= since - 1  # the API's times are whole seconds
            if is_recent and event.reason == "FailedCreate" and "exceeded quota" not in event.message:
                yield job.name, f"pod creation was rejected: {event.message}"


def _check_evictions(snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    count = evictions(pods)
    if count <= stage.plan.disruptions:
        return None
    last = next((pod.disrupted for pod in reversed(pods) if pod.disrupted), "")
    return AttemptEnd(
        RetryableError.exit_code,
        f"{count} pods were evicted{f' (last: {last})' if last else ''}, more than the limit of "
        f"{stage.plan.disruptions}; use nodes with fewer evictions or raise stages.{stage.name}.disruptions",
        final=True,
    )


def _check_unreachable_nodes(
    snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]
) -> AttemptEnd | None:
    """With force deletion enabled, end the attempt: a pod that never terminates is never replaced."""
    nodes = sorted({pod.node for pod in pods if is_unreachable(snapshot, pod)})
    if not nodes or not snapshot.plan.force_delete:
        return None
    message = f"node unreachable: {', '.join(nodes)}; retrying on another node"
    # No `avoid`: the taint of an unreachable node keeps pods away, and the node is usable again once it is back.
    return AttemptEnd(RetryableError.exit_code, message)


def _check_queue_timeout(snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    together = stage.plan.gang > 1 and any(pod.live and pod.scheduled is None for pod in pods)
    if not together and any(pod.live and pod.scheduled is not None for pod in pods):
        return None
    since = snapshot.unscheduled_since.get(job.name, job.created)
    if snapshot.now - since <= stage.plan.queued_seconds:
        return None
    message = waiting(snapshot, stage, job) or "no pod was created"
    return AttemptEnd(
        RetryableError.exit_code,
        f"not scheduled within {stage.plan.queued_seconds:g} s: {message}; free up the requested resources or raise "
        f"stages.{stage.name}.queuedSeconds",
        final=True,
    )


def _check_start_timeout(snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    for pod in pods:
        if not pod.live or pod.started is not None or pod.scheduled is None or pod.deleted is not None:
            continue
        if snapshot.now - pod.scheduled > stage.plan.starting_seconds:
            message = waiting(snapshot, stage, job) or f"starting on node {pod.node}"
            return AttemptEnd(
                RetryableError.exit_code,
                f"pod {pod.name} did not start within {stage.plan.starting_seconds:g} s: {message}",
            )
    return None


def _check_run_timeout(snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    if not stage.plan.running_seconds:
        return None
    started = [pod.started for pod in pods if pod.live and pod.started is not None]
    if not started or snapshot.now - min(started) <= stage.plan.running_seconds:
        return None
    return AttemptEnd(
        RetryableError.exit_code,
        f"the attempt ran longer than {stage.plan.running_seconds:g} s; finished parts are kept; raise "
        f"stages.{stage.name}.runningSeconds and upgrade the release to resume",
        final=True,
    )


def _check_stall_timeout(snapshot: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    """End an attempt whose running pods write no progress to the store."""
    if not stage.plan.stalled_seconds:
        return None
    started = [pod.started for pod in pods if pod.live and pod.started is not None]
    if not started:
        return None
    since = max(stage.progressed_at or 0.0, min(started))
    if snapshot.now - since <= stage.plan.stalled_seconds:
        return None
    nodes = sorted({pod.node for pod in pods if pod.live and pod.started is not None and pod.node})
    return AttemptEnd(
        RetryableError.exit_code,
        f"no progress for {snapshot.now - since:.0f} s (nodes: {', '.join(nodes)}); restarting",
    )


_Check = Callable[[Snapshot, StageView, JobView, list[PodView]], AttemptEnd | None]
_CHECKS: tuple[_Check, ...] = (
    _check_startup_errors,
    _check_evictions,
    _check_unreachable_nodes,
    _check_queue_timeout,
    _check_start_timeout,
    _check_run_timeout,
    _check_stall_timeout,
)
