"""What to do next: a pure function of a snapshot.

Decisions are level-triggered. They may be made at any time, twice, or after a crash between any two actions, and Jobs
have deterministic names, so that nothing starts twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skutune.cluster import budget
from skutune.cluster.budget import DeviceRequest
from skutune.cluster.diagnosis import AttemptEnd, attempt_end, is_unreachable, waiting
from skutune.cluster.kube.views import JobView
from skutune.cluster.snapshot import Snapshot, StageView
from skutune.errors import InputError, RetryableError, ShardError


@dataclass(frozen=True, slots=True)
class Start:
    """Create the Job of a stage's open attempt, or of a new attempt at the missing parts."""

    stage: str
    parallelism: int
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resize:
    """Raise the parallelism of a running Job."""

    stage: str
    job: str
    parallelism: int


@dataclass(frozen=True, slots=True)
class Close:
    """End an attempt: write the stage's manifest if no part is missing, else the outcome. Then delete the Job."""

    stage: str
    job: JobView
    end: AttemptEnd


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a stale Job."""

    job: JobView
    reason: str


@dataclass(frozen=True, slots=True)
class ForceDelete:
    """Force-delete a pod whose node is unreachable."""

    pod: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    code: int
    message: str


Action = Start | Resize | Close | Remove | ForceDelete | Finish


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in order, and the reason why each waiting stage waits."""

    actions: tuple[Action, ...]
    waiting: Mapping[str, str]


_RUN_EXIT_CODES = {InputError.exit_code, ShardError.exit_code, RetryableError.exit_code}


def decide(snapshot: Snapshot) -> Decision:
    """The actions for a snapshot."""
    waiting_for: dict[str, str] = {}
    actions: list[Action] = [*_stale_jobs(snapshot)]
    closing = set()
    for stage in snapshot.stages.values():
        job = snapshot.current_job(stage)
        if job is None or stage.state != "ready":
            continue
        end = attempt_end(snapshot, stage, job)
        if end is not None:
            actions.append(Close(stage.name, job, end))
            closing.add(stage.name)
        elif (reason := waiting(snapshot, stage, job)) is not None:
            waiting_for[stage.name] = reason
    failed = {stage.name: stage.failed for stage in snapshot.stages.values() if stage.failed is not None}
    if failed or all(stage.state == "done" for stage in snapshot.stages.values()):
        if not actions:
            actions += _finish(snapshot, waiting_for)
    elif not closing:  # the next round sees the result of a closed attempt
        actions += _start_or_scale(snapshot, waiting_for)
    if snapshot.plan.force_delete:
        actions += [ForceDelete(pod.name) for pod in snapshot.pods if is_unreachable(snapshot, pod)]
    for stage in snapshot.stages.values():
        if stage.state == "blocked":
            waiting_for[stage.name] = "waiting for " + ", ".join(stage.waits_for)
    return Decision(tuple(actions), waiting_for)


def _stale_jobs(snapshot: Snapshot) -> list[Action]:
    """Jobs of this run that belong to no current attempt. A Job with another owner is garbage-collected with it."""
    removals: list[Action] = []
    for job in snapshot.jobs:
        stage = snapshot.stages.get(job.stage)
        if job.owner_uid == "" and not job.deleting:  # orphaned by `kubectl delete --cascade=orphan`
            removals.append(Remove(job, "it has no owner"))
            continue
        if job.deleting or job.owner_uid != snapshot.uid or stage is None:
            continue
        if stage.state == "blocked":  # its inputs are outdated, for example because the catalog was replaced
            removals += [] if job.finished else [Remove(job, "its inputs are being regenerated")]
        elif job.fingerprint != stage.fingerprint:
            removals.append(Remove(job, "the stage's fingerprint has changed"))
        elif job.attempt < stage.attempt:
            removals.append(Remove(job, "a later attempt replaced it"))
        elif stage.state == "done" and job.finished == "failed":  # alerts fire on failed Jobs
            removals.append(Remove(job, "it failed, but the stage is done"))
        elif not job.finished and (stage.state == "done" or not stage.is_open):
            removals.append(Remove(job, "its attempt is over"))
    return removals


def _finish(snapshot: Snapshot, waiting_for: dict[str, str]) -> list[Action]:
    """Finish the run once its running Jobs have finished."""
    failed = [(stage.name, stage.failed) for stage in snapshot.stages.values() if stage.failed is not None]
    running = [stage for stage in snapshot.stages.values() if _is_running(snapshot, stage)]
    jobs = [job for stage in running if (job := snapshot.current_job(stage)) is not None]
    idle = [job for job in jobs if _has_not_started(snapshot, job)]
    if failed and any(not job.deleting for job in idle):
        return [Remove(job, "the run failed before it started") for job in idle if not job.deleting]
    if running:
        if failed:
            names = ", ".join(stage.name for stage in running)
            waiting_for[failed[0][0]] = f"failed; the run ends after these running stages: {names}"
        return []
    if not failed:
        return [Finish(0, "all stages are done")]
    name, outcome = failed[0]
    assert outcome is not None
    attempts = f" (attempt {len(snapshot.stages[name].outcomes)})" if len(snapshot.stages[name].outcomes) > 1 else ""
    # The other codes concern a single pod. As the controller's exit code they would make its Job retry the whole run.
    code = outcome.code if outcome.code in _RUN_EXIT_CODES else ShardError.exit_code
    return [Finish(code, f"{name}{attempts}: {outcome.reason}")]


def _has_not_started(snapshot: Snapshot, job: JobView) -> bool:
    """Whether none of a Job's pods was scheduled and none of its indexes has ended."""
    is_scheduled = any(pod.scheduled is not None for pod in snapshot.pods_of(job))
    return not is_scheduled and job.succeeded == 0 and job.failed_indexes == 0


def _is_running(snapshot: Snapshot, stage: StageView) -> bool:
    job = snapshot.current_job(stage)
    return stage.state == "ready" and job is not None and not job.finished


def _start_or_scale(snapshot: Snapshot, waiting_for: dict[str, str]) -> list[Action]:
    """Start Jobs and raise the parallelism of running ones, as far as devices are free."""
    requests, jobs = [], {}
    for name in budget.by_critical_path(snapshot.stages):
        stage = snapshot.stages[name]
        if stage.state != "ready":
            continue
        job = snapshot.current_job(stage)
        if job is not None:
            jobs[name] = job
            if job.deleting or job.finished or job.suspended or snapshot.plan.kueue:
                continue
            requests.append(_device_request(snapshot, stage, min(job.parallelism, job.remaining), job.remaining))
        elif (reason := _start_blocker(snapshot, stage)) is not None:
            waiting_for[name] = reason
        else:
            requests.append(_device_request(snapshot, stage, 0, stage.pods))
    in_use = budget.in_flight(snapshot)
    granted = budget.grant(snapshot.plan.devices - in_use, requests)
    return _to_actions(snapshot, requests, jobs, granted, in_use, waiting_for)


def _device_request(snapshot: Snapshot, stage: StageView, held: int, pods: int) -> DeviceRequest:
    minimum = stage.pods if snapshot.plan.kueue and stage.plan.devices else stage.plan.gang
    if stage.plan.devices:
        pods = min(pods, snapshot.plan.devices // stage.plan.devices)
    return DeviceRequest(stage.name, stage.plan.devices, pods, held, min(minimum, pods))


def _to_actions(
    snapshot: Snapshot,
    requests: list[DeviceRequest],
    jobs: dict[str, JobView],
    granted: dict[str, int],
    in_use: int,
    waiting_for: dict[str, str],
) -> list[Action]:
    actions: list[Action] = []
    for request in requests:
        pods, job = granted.get(request.stage, 0), jobs.get(request.stage)
        if job is not None:
            if pods > job.parallelism:
                actions.append(Resize(request.stage, job.name, pods))
        elif pods >= request.minimum:
            actions.append(Start(request.stage, pods, _nodes_to_avoid(snapshot.stages[request.stage])))
        else:
            unreachable = sorted({pod.node for pod in snapshot.pods if is_unreachable(snapshot, pod)})
            waiting_for[request.stage] = (
                f"waiting for {request.minimum * request.devices} free devices: "
                f"{in_use} of {snapshot.plan.devices} are in use"
                + (f", some by pods on unreachable nodes ({', '.join(unreachable)})" if unreachable else "")
            )
    return actions


def _start_blocker(snapshot: Snapshot, stage: StageView) -> str | None:
    """Why a stage's next attempt cannot start yet, other than a lack of devices."""
    retry_at, reason = snapshot.rejections.get(stage.name, (0.0, ""))
    if retry_at > snapshot.now:
        return f"the API server rejected its Job: {reason}; retrying in {retry_at - snapshot.now:.0f} s"
    for job in snapshot.jobs:
        if job.stage == stage.name and job.fingerprint == stage.fingerprint and not job.finished:
            return f"waiting for the previous Job {job.name} to terminate"
    if not stage.outcomes or stage.is_open:
        return None
    last = stage.outcomes[-1]
    wait = last.time + snapshot.plan.retry_seconds * 2 ** (len(stage.outcomes) - 1) - snapshot.now
    if wait <= 0:
        return None
    return f"retrying in {wait:.0f} s after: {last.reason}"


def _nodes_to_avoid(stage: StageView) -> tuple[str, ...]:
    return tuple(sorted({node for outcome in stage.outcomes for node in outcome.avoid}))
