"""What is wrong with an attempt: why it ended, whether it must be ended, and what it waits for, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skutune.cluster.kube.jobs import KILLED
from skutune.cluster.kube.views import JobView, PodView, evictions
from skutune.cluster.snapshot import Snapshot, StageView
from skutune.errors import DeviceError, InputError, RetryableError, ShardError, SkutuneError, StoppedError
from skutune.process.error_log import last_error_message

_CANNOT_START = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
_CANNOT_RUN = {"StartError", "ContainerCannotRun"}
_NEWS_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """Why an attempt is over; `final` where another would end alike."""

    code: int
    reason: str
    final: bool = False
    avoid: tuple[str, ...] = ()


def attempt_end(seen: Snapshot, stage: StageView, job: JobView) -> AttemptEnd | None:
    """Why a Job's attempt is over or must be ended, or None while it may go on."""
    pods = seen.pods_of(job)
    if job.finished == "complete":
        return AttemptEnd(
            RetryableError.exit_code, "its pods ended well, but the store does not hold all that they should have made"
        )
    if job.finished == "failed":
        return _failure(stage, job, pods)
    if job.deleting:
        return None
    for check in _CHECKS:
        found = check(seen, stage, job, pods)
        if found is not None:
            return found
    return None


def waiting(seen: Snapshot, stage: StageView, job: JobView) -> str | None:
    """What a Job's pods wait for, in plain words, or None where they work."""
    if job.suspended:
        return "waits for Kueue to admit it"
    if job.deleting:
        return "waits for an earlier Job of it to end"
    pods = seen.pods_of(job)
    for pod in pods:
        if is_unreachable(seen, pod):
            return (
                f"node {pod.node} does not answer, so pod {pod.name} cannot end and is not replaced; "
                "delete the node or the pod by force once the machine is surely off"
            )
    for pod in pods:
        if pod.live and pod.unschedulable:
            avoided = sorted({node for outcome in stage.outcomes for node in outcome.avoid})
            why = f" (it is kept off {', '.join(avoided)}, whose device was faulty)" if avoided else ""
            return f"waits for a node: {pod.unschedulable}{why}"
    for pod in pods:
        if pod.live and pod.started is None and pod.waiting in _CANNOT_START:
            return f"its program cannot start: {pod.waiting}: {pod.waiting_message}"
    for pod in pods:
        if pod.live and pod.started is None and pod.scheduled is not None:
            warnings = seen.warnings_about(pod.name)
            return f"starts on {pod.node}: {warnings[-1].message}" if warnings else f"starts on {pod.node}"
    if not any(pod.live for pod in pods):
        warnings = seen.warnings_about(job.name)
        if warnings:
            return f"the cluster makes no pod for it: {warnings[-1].message}"
        ended = [pod for pod in pods if pod.phase == "Failed"]
        if ended and not job.finished:
            why = "was evicted" if ended[-1].disrupted else "failed"
            return f"pod {ended[-1].name} {why}; the cluster replaces it after a pause, which doubles each time"
    return None


def is_unreachable(seen: Snapshot, pod: PodView) -> bool:
    """Whether a pod should long have ended: its node's kubelet does not answer."""
    return pod.live and pod.deleted is not None and seen.now - pod.deleted > seen.plan.unreachable_seconds


def _failure(stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd:
    """The worst cause among a failed Job's pods."""
    failed = [pod for pod in pods if pod.phase == "Failed" and not pod.disrupted]
    if not failed:
        words = f"{job.reason}: {job.message}" if job.message else job.reason
        return AttemptEnd(RetryableError.exit_code, words or "its Job failed")
    causes = [_cause(stage, pod) for pod in failed]
    worst = max(causes, key=lambda cause: (cause.final, cause.code == InputError.exit_code, cause.code))
    avoid = sorted({node for cause in causes for node in cause.avoid})
    return AttemptEnd(worst.code, worst.reason, worst.final, tuple(avoid))


def _cause(stage: StageView, pod: PodView) -> AttemptEnd:
    code = pod.exit_code if pod.exit_code is not None else SkutuneError.exit_code
    said = f"shard {pod.index}: {last_error_message(pod.exit_message, code)}"
    if pod.exit_reason == "OOMKilled":  # also exit code 137, but trying again changes nothing
        return AttemptEnd(
            InputError.exit_code,
            f"shard {pod.index} used more memory than its limit (OOMKilled); raise "
            f"stages.{stage.name}.resources.limits.memory",
            final=True,
        )
    if pod.exit_reason == "Evicted":  # by a limit of its own, as of a volume; else it counts as a disruption
        return AttemptEnd(InputError.exit_code, f"shard {pod.index} was evicted: {pod.exit_message}", final=True)
    if pod.exit_reason in _CANNOT_RUN:
        return AttemptEnd(InputError.exit_code, f"its program cannot start: {said}", final=True)
    if code in (InputError.exit_code, ShardError.exit_code):
        return AttemptEnd(code, said, final=True)
    if code == DeviceError.exit_code:
        return AttemptEnd(code, f"{said} (on node {pod.node})", avoid=(pod.node,) if pod.node else ())
    if code in (KILLED, StoppedError.exit_code):
        return AttemptEnd(
            RetryableError.exit_code, f"shard {pod.index}: was killed (exit code {code}) on node {pod.node}"
        )
    return AttemptEnd(code, said)


def _refused(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    """Image, config and admission errors, which heal within minutes or never."""
    for name, words in refusals(seen, job):
        if seen.now - seen.refused_since.get(name, seen.now) > seen.plan.grace_seconds:
            return AttemptEnd(InputError.exit_code, words, final=True)
    return None


def refusals(seen: Snapshot, job: JobView) -> Iterator[tuple[str, str]]:
    """Errors of image, config and admission as they stand: the name of the pod or the Job, and what is said."""
    pods = seen.pods_of(job)
    for pod in pods:
        if not pod.live or pod.started is not None:
            continue
        if pod.waiting in _CANNOT_START:
            yield pod.name, f"its program cannot start: {pod.waiting}: {pod.waiting_message}"
        # Only their words tell what will never heal from what takes its time.
        if "persistentvolumeclaim" in pod.unschedulable and "not found" in pod.unschedulable:
            yield pod.name, pod.unschedulable
        for event in seen.warnings_about(pod.name):
            is_news = seen.now - event.time < _NEWS_SECONDS  # the kubelet repeats it every two minutes
            if is_news and event.reason == "FailedMount" and "not found" in event.message:
                yield pod.name, event.message
    if not any(pod.live for pod in pods):
        quiet_since = seen.quiet_since.get(job.name, job.created)
        for event in seen.warnings_about(job.name):
            is_news = event.time >= quiet_since - 1  # the API's times are whole seconds
            if is_news and event.reason == "FailedCreate" and "exceeded quota" not in event.message:
                yield job.name, f"the cluster refuses its pods: {event.message}"


def _evicted(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    count = evictions(pods)
    if count <= stage.plan.disruptions:
        return None
    last = next((pod.disrupted for pod in reversed(pods) if pod.disrupted), "")
    return AttemptEnd(
        RetryableError.exit_code,
        f"its pods were evicted {count} times{f' (last: {last})' if last else ''}, more than {stage.plan.disruptions}; "
        f"run it where it may stay, or raise stages.{stage.name}.disruptions",
        final=True,
    )


def _lost(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    """A pod that never ends is never replaced; where force is allowed, its Job makes room for another."""
    nodes = sorted({pod.node for pod in pods if is_unreachable(seen, pod)})
    if not nodes or not seen.plan.force_delete:
        return None
    words = f"its node does not answer ({', '.join(nodes)}); it goes on elsewhere"
    # Its taint keeps pods away for as long as it is lost; nothing is wrong with it once it is back.
    return AttemptEnd(RetryableError.exit_code, words)


def _queued(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    together = stage.plan.gang > 1 and any(pod.live and pod.scheduled is None for pod in pods)
    if not together and any(pod.live and pod.scheduled is not None for pod in pods):
        return None
    since = seen.quiet_since.get(job.name, job.created)
    if seen.now - since <= stage.plan.queued_seconds:
        return None
    words = waiting(seen, stage, job) or "no pod was made for it"
    return AttemptEnd(
        RetryableError.exit_code,
        f"no place for it in {stage.plan.queued_seconds:g} s: {words}; free the devices it asks for, or raise "
        f"stages.{stage.name}.queuedSeconds",
        final=True,
    )


def _starting(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    for pod in pods:
        if not pod.live or pod.started is not None or pod.scheduled is None or pod.deleted is not None:
            continue
        if seen.now - pod.scheduled > stage.plan.starting_seconds:
            words = waiting(seen, stage, job) or f"starts on {pod.node}"
            return AttemptEnd(
                RetryableError.exit_code,
                f"pod {pod.name} did not start in {stage.plan.starting_seconds:g} s: {words}",
            )
    return None


def _running(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    if not stage.plan.running_seconds:
        return None
    started = [pod.started for pod in pods if pod.live and pod.started is not None]
    if not started or seen.now - min(started) <= stage.plan.running_seconds:
        return None
    return AttemptEnd(
        RetryableError.exit_code,
        f"it ran longer than {stage.plan.running_seconds:g} s; what it made stays: raise "
        f"stages.{stage.name}.runningSeconds and go on",
        final=True,
    )


def _stalled(seen: Snapshot, stage: StageView, job: JobView, pods: list[PodView]) -> AttemptEnd | None:
    """Pods run, and nothing of them reaches the store."""
    if not stage.plan.stalled_seconds:
        return None
    started = [pod.started for pod in pods if pod.live and pod.started is not None]
    if not started:
        return None
    since = max(stage.progressed or 0.0, min(started))
    if seen.now - since <= stage.plan.stalled_seconds:
        return None
    nodes = sorted({pod.node for pod in pods if pod.live and pod.started is not None and pod.node})
    return AttemptEnd(
        RetryableError.exit_code,
        f"no progress for {seen.now - since:.0f} s (on {', '.join(nodes)}); it is started again",
    )


_Check = Callable[[Snapshot, StageView, JobView, list[PodView]], AttemptEnd | None]
_CHECKS: tuple[_Check, ...] = (_refused, _evicted, _lost, _queued, _starting, _running, _stalled)
