"""What to do next: a pure function of what is seen.

Made from levels, not from events: it may be asked at any moment, twice, or after a crash between any two actions, and
what it asks for is named by what it is for, so that nothing starts twice.
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
    """Make the Job of a stage's open attempt, or of a new one over the missing parts."""

    stage: str
    parallelism: int
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resize:
    """Let a running Job have more pods at the same time."""

    stage: str
    job: str
    parallelism: int


@dataclass(frozen=True, slots=True)
class Close:
    """End an attempt: the stage's manifest where all parts are there, else its outcome; then remove its Job."""

    stage: str
    job: JobView
    end: AttemptEnd


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a Job that is of no use: nobody's, or of an output that is no longer wanted."""

    job: JobView
    reason: str


@dataclass(frozen=True, slots=True)
class ForceDelete:
    """Delete a pod whose node does not answer."""

    pod: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    code: int
    message: str


Action = Start | Resize | Close | Remove | ForceDelete | Finish


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in their order, and for each stage that waits, what for."""

    actions: tuple[Action, ...]
    waiting: Mapping[str, str]


_OF_RUNS = {InputError.exit_code, ShardError.exit_code, RetryableError.exit_code}


def decide(seen: Snapshot) -> Decision:
    """What to do about what is seen."""
    reasons: dict[str, str] = {}
    actions: list[Action] = [*_leftovers(seen)]
    closing = set()
    for stage in seen.stages.values():
        job = seen.current(stage)
        if job is None or stage.state != "ready":
            continue
        over = attempt_end(seen, stage, job)
        if over is not None:
            actions.append(Close(stage.name, job, over))
            closing.add(stage.name)
        elif (words := waiting(seen, stage, job)) is not None:
            reasons[stage.name] = words
    failed = {stage.name: stage.failed for stage in seen.stages.values() if stage.failed is not None}
    if failed or all(stage.state == "done" for stage in seen.stages.values()):
        if not actions:
            actions += _finish(seen, reasons)
    elif not closing:  # what a closed attempt leaves is seen in the next round
        actions += _starts(seen, reasons)
    if seen.plan.force_delete:
        actions += [ForceDelete(pod.name) for pod in seen.pods if is_unreachable(seen, pod)]
    for stage in seen.stages.values():
        if stage.state == "blocked":
            reasons[stage.name] = "waits for " + ", ".join(stage.waits_for)
    return Decision(tuple(actions), reasons)


def _leftovers(seen: Snapshot) -> list[Action]:
    """Jobs of this run that no stage's attempt accounts for. Those with another owner end with it."""
    removed: list[Action] = []
    for job in seen.jobs:
        stage = seen.stages.get(job.stage)
        if job.owner_uid == "" and not job.deleting:  # left behind when its owner was deleted without what it owned
            removed.append(Remove(job, "it belongs to no controller"))
            continue
        if job.deleting or job.owner_uid != seen.uid or stage is None:
            continue
        if stage.state == "blocked":  # what it was made from is no longer wanted, as of a catalog that was replaced
            removed += [] if job.finished else [Remove(job, "what it reads is made again")]
        elif job.fingerprint != stage.fingerprint:
            removed.append(Remove(job, "another output of the stage is wanted by now"))
        elif job.attempt < stage.attempt:
            removed.append(Remove(job, "a later attempt took its place"))
        elif stage.state == "done" and job.finished == "failed":  # alerts look for failed Jobs
            removed.append(Remove(job, "the stage is done in spite of it"))
        elif not job.finished and (stage.state == "done" or not stage.is_open):
            removed.append(Remove(job, "its attempt is over"))
    return removed


def _finish(seen: Snapshot, reasons: dict[str, str]) -> list[Action]:
    """The end of the run, once what still runs has finished."""
    failed = [(stage.name, stage.failed) for stage in seen.stages.values() if stage.failed is not None]
    running = [stage for stage in seen.stages.values() if _runs(seen, stage)]
    idle = [job for stage in running if (job := seen.current(stage)) is not None and _never_began(seen, job)]
    if failed and any(not job.deleting for job in idle):
        return [Remove(job, "the run has failed, and it had not begun") for job in idle if not job.deleting]
    if running:
        if failed:
            reasons[failed[0][0]] = "failed; the run ends when " + ", ".join(s.name for s in running) + " has finished"
        return []
    if not failed:
        return [Finish(0, "all stages are done")]
    name, outcome = failed[0]
    assert outcome is not None
    tried = f" (attempt {len(seen.stages[name].outcomes)})" if len(seen.stages[name].outcomes) > 1 else ""
    # Other codes speak of one pod; that of the run must not have the controller's Job try it all again.
    code = outcome.code if outcome.code in _OF_RUNS else ShardError.exit_code
    return [Finish(code, f"{name}{tried}: {outcome.reason}")]


def _never_began(seen: Snapshot, job: JobView) -> bool:
    """Whether none of a Job's pods has a node, and none of its indexes has ended."""
    placed = any(pod.scheduled is not None for pod in seen.pods_of(job))
    return not placed and job.succeeded == 0 and job.failed_indexes == 0


def _runs(seen: Snapshot, stage: StageView) -> bool:
    job = seen.current(stage)
    return stage.state == "ready" and job is not None and not job.finished


def _starts(seen: Snapshot, reasons: dict[str, str]) -> list[Action]:
    """New Jobs, and more pods for running ones, as far as devices are free."""
    wants, jobs = [], {}
    for name in budget.by_critical_path(seen.stages):
        stage = seen.stages[name]
        if stage.state != "ready":
            continue
        job = seen.current(stage)
        if job is not None:
            jobs[name] = job
            if job.deleting or job.finished or job.suspended or seen.plan.kueue:
                continue
            wants.append(_want(seen, stage, min(job.parallelism, job.remaining), job.remaining))
        elif (words := _obstacle(seen, stage)) is not None:
            reasons[name] = words
        else:
            wants.append(_want(seen, stage, 0, stage.pods))
    taken = budget.in_flight(seen)
    granted = budget.grant(seen.plan.devices - taken, wants)
    return _applied(seen, wants, jobs, granted, taken, reasons)


def _want(seen: Snapshot, stage: StageView, held: int, pods: int) -> DeviceRequest:
    together = stage.pods if seen.plan.kueue and stage.plan.devices else stage.plan.gang
    if stage.plan.devices:
        pods = min(pods, seen.plan.devices // stage.plan.devices)
    return DeviceRequest(stage.name, stage.plan.devices, pods, held, min(together, pods))


def _applied(
    seen: Snapshot,
    wants: list[DeviceRequest],
    jobs: dict[str, JobView],
    granted: dict[str, int],
    taken: int,
    reasons: dict[str, str],
) -> list[Action]:
    actions: list[Action] = []
    for want in wants:
        pods, job = granted.get(want.stage, 0), jobs.get(want.stage)
        if job is not None:
            if pods > job.parallelism:
                actions.append(Resize(want.stage, job.name, pods))
        elif pods >= want.least:
            actions.append(Start(want.stage, pods, _avoided(seen.stages[want.stage])))
        else:
            lost = sorted({pod.node for pod in seen.pods if is_unreachable(seen, pod)})
            reasons[want.stage] = (
                f"waits for {want.least * want.devices} free devices: {taken} of {seen.plan.devices} are in use"
                + (f", some by pods on {', '.join(lost)}, which does not answer" if lost else "")
            )
    return actions


def _obstacle(seen: Snapshot, stage: StageView) -> str | None:
    """What keeps a stage's next attempt from starting, devices apart."""
    again, words = seen.not_before.get(stage.name, (0.0, ""))
    if again > seen.now:
        return f"its Job is refused: {words}; asks again in {again - seen.now:.0f} s"
    for job in seen.jobs:
        if job.stage == stage.name and job.fingerprint == stage.fingerprint and not job.finished:
            return f"waits for its earlier Job {job.name} to end"
    if not stage.outcomes or stage.is_open:
        return None
    last = stage.outcomes[-1]
    wait = last.time + seen.plan.retry_seconds * 2 ** (len(stage.outcomes) - 1) - seen.now
    if wait <= 0:
        return None
    return f"tries again in {wait:.0f} s, after: {last.reason}"


def _avoided(stage: StageView) -> tuple[str, ...]:
    return tuple(sorted({node for outcome in stage.outcomes for node in outcome.avoid}))
