"""Short ways to say what is seen, for tests of decisions."""

from __future__ import annotations

from typing import Any

from skutune.cluster.kube.views import EventView, JobView, PodView
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan, StagePlan
from skutune.cluster.snapshot import Snapshot, StageView

NOW = 10_000.0
UID = "me"


def stage(name: str, state: str = "ready", **changes: Any) -> StageView:
    """A stage; `plan` settings are given as `plan_<setting>`."""
    settings = {key.removeprefix("plan_"): changes.pop(key) for key in list(changes) if key.startswith("plan_")}
    view: dict[str, Any] = {"fingerprint": f"f-{name}"} | changes
    return StageView(name, StagePlan(template="t", **settings), state, **view)  # type: ignore[arg-type]


def job(of: str, attempt: int = 1, /, **changes: Any) -> JobView:
    """A Job of a stage, with one index and no device unless said otherwise."""
    given: dict[str, Any] = {
        "name": f"{of}-a{attempt}",
        "uid": f"uid-{of}",
        "run": "run",
        "stage": of,
        "attempt": attempt,
        "fingerprint": f"f-{of}",
        "spec_hash": "",
        "owner_uid": UID,
        "completions": 1,
        "parallelism": 1,
        "devices": 0,
        "succeeded": 0,
        "failed_indexes": 0,
        "finished": "",
        "reason": "",
        "message": "",
        "suspended": False,
        "deleting": False,
        "created": NOW - 100,
    }
    return JobView(**(given | changes))


def pod(of: str, index: int = 0, phase: str = "Running", **changes: Any) -> PodView:
    """A pod of a stage's first attempt; running since a while unless said otherwise."""
    given: dict[str, Any] = {
        "name": f"{of}-a1-{index}-x",
        "job": f"{of}-a1",
        "stage": of,
        "index": index,
        "node": "n1",
        "phase": phase,
        "devices": 0,
        "created": NOW - 100,
        "scheduled": NOW - 90,
        "started": NOW - 80,
    }
    return PodView(**(given | changes))


def pending(of: str, index: int = 0, **changes: Any) -> PodView:
    """A pod that has a node and does not run yet."""
    return pod(of, index, "Pending", **({"started": None} | changes))


def queued(of: str, words: str, **changes: Any) -> PodView:
    """A pod that no node takes."""
    return pod(of, 0, "Pending", **({"started": None, "scheduled": None, "node": "", "unschedulable": words} | changes))


def failed(of: str, code: int, index: int = 0, **changes: Any) -> PodView:
    """A pod whose worker ended with an exit code."""
    return pod(of, index, "Failed", exit_code=code, **changes)


def outcome(attempt: int = 1, code: int = 75, **changes: Any) -> AttemptOutcome:
    """How an attempt ended."""
    return AttemptOutcome(**({"attempt": attempt, "code": code, "reason": "it broke", "time": NOW - 1000} | changes))


def seen(
    *stages: StageView,
    jobs: tuple[JobView, ...] = (),
    pods: tuple[PodView, ...] = (),
    events: tuple[EventView, ...] = (),
    devices: int = 8,
    quiet_since: dict[str, float] | None = None,
    refused_since: dict[str, float] | None = None,
    **plan: Any,
) -> Snapshot:
    """All that is seen."""
    cluster = ClusterPlan(devices=devices, stages={}, **plan)
    return Snapshot(
        cluster,
        UID,
        NOW,
        {each.name: each for each in stages},
        jobs,
        pods,
        events,
        quiet_since or {},
        refused_since or {},
    )
