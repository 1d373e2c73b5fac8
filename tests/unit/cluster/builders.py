"""Builders of snapshots, for tests of decisions."""

from __future__ import annotations

from typing import Any

from skutune.cluster.kube.views import EventView, JobView, PodView
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan, StagePlan
from skutune.cluster.snapshot import Snapshot, StageView

NOW = 10_000.0
UID = "me"


def stage(name: str, state: str = "ready", **changes: Any) -> StageView:
    """A stage. Arguments named `plan_<setting>` go into its plan."""
    settings = {key.removeprefix("plan_"): changes.pop(key) for key in list(changes) if key.startswith("plan_")}
    fields: dict[str, Any] = {"fingerprint": f"f-{name}"} | changes
    return StageView(name, StagePlan(template="t", **settings), state, **fields)  # type: ignore[arg-type]


def job(of: str, attempt: int = 1, /, **changes: Any) -> JobView:
    """A Job of a stage, by default with one index and no device."""
    fields: dict[str, Any] = {
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
    return JobView(**(fields | changes))


def pod(of: str, index: int = 0, phase: str = "Running", **changes: Any) -> PodView:
    """A pod of a stage's first attempt, by default running."""
    fields: dict[str, Any] = {
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
    return PodView(**(fields | changes))


def pending(of: str, index: int = 0, **changes: Any) -> PodView:
    """A scheduled pod that has not started."""
    return pod(of, index, "Pending", **({"started": None} | changes))


def queued(of: str, message: str, **changes: Any) -> PodView:
    """An unschedulable pod."""
    return pod(
        of, 0, "Pending", **({"started": None, "scheduled": None, "node": "", "unschedulable": message} | changes)
    )


def failed(of: str, code: int, index: int = 0, **changes: Any) -> PodView:
    """A pod whose worker exited with `code`."""
    return pod(of, index, "Failed", exit_code=code, **changes)


def outcome(attempt: int = 1, code: int = 75, **changes: Any) -> AttemptOutcome:
    """The outcome of a failed attempt."""
    return AttemptOutcome(**({"attempt": attempt, "code": code, "reason": "it broke", "time": NOW - 1000} | changes))


def snapshot(
    *stages: StageView,
    jobs: tuple[JobView, ...] = (),
    pods: tuple[PodView, ...] = (),
    events: tuple[EventView, ...] = (),
    devices: int = 8,
    unscheduled_since: dict[str, float] | None = None,
    startup_errors_since: dict[str, float] | None = None,
    **plan: Any,
) -> Snapshot:
    """A snapshot of the given objects."""
    cluster = ClusterPlan(devices=devices, stages={}, **plan)
    return Snapshot(
        cluster,
        UID,
        NOW,
        {each.name: each for each in stages},
        jobs,
        pods,
        events,
        unscheduled_since or {},
        startup_errors_since or {},
    )
