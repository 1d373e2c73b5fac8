"""The complete input of a decision at one point in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from skutune.cluster.kube.views import EventView, JobView, PodView
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan, StagePlan


@dataclass(frozen=True, slots=True)
class StageView:
    """The state of a stage in the store.

    Attributes:
        state: done if its manifest is complete, ready if all its inputs are done, else blocked.
        waits_for: inputs of a blocked stage that are not done.
        attempt: number of the latest task in its folder, 0 if there is none.
        is_open: whether that task belongs to this controller and has no outcome yet.
        pods: number of pods of the open attempt, or of the next one.
        outcomes: outcomes of this controller's attempts, oldest first; of a stage that is done, only one that ends the
            run because too few rows were kept.
        progressed_at: time when progress in the store last changed.
    """

    name: str
    plan: StagePlan
    state: Literal["blocked", "ready", "done"]
    waits_for: tuple[str, ...] = ()
    fingerprint: str = ""
    attempt: int = 0
    is_open: bool = False
    pods: int = 1
    outcomes: tuple[AttemptOutcome, ...] = ()
    progressed_at: float | None = None

    @property
    def failed(self) -> AttemptOutcome | None:
        """The outcome that made the stage fail, or None while it may be retried."""
        if not self.outcomes:
            return None
        last = self.outcomes[-1]
        return last if last.final or len(self.outcomes) >= self.plan.attempts else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Stages in order, this run's Jobs and pods, and warning Events about those that do not start."""

    plan: ClusterPlan
    uid: str
    now: float
    stages: Mapping[str, StageView]
    jobs: tuple[JobView, ...] = ()
    pods: tuple[PodView, ...] = ()
    events: tuple[EventView, ...] = ()
    unscheduled_since: Mapping[str, float] = field(default_factory=dict)
    """Since when each Job has had no scheduled pod."""
    startup_errors_since: Mapping[str, float] = field(default_factory=dict)
    """Since when each pod or Job has continuously had an image, config or admission error."""
    rejections: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    """Stages whose Job the API server rejected: the time of the next try, and the server's message."""
    held_by_other_runs: int = 0
    """Devices held by other runs of this release: a previous one that is terminating, or another scheduled one."""

    def pods_of(self, job: JobView) -> list[PodView]:
        """The pods of a Job that have not succeeded, without those of a deleted Job of the same name."""
        return [pod for pod in self.pods if pod.job == job.name and pod.job_uid in ("", job.uid)]

    def current_job(self, stage: StageView) -> JobView | None:
        """The Job of a stage's open attempt, if it exists."""
        for job in self.jobs:
            if (job.stage, job.attempt, job.fingerprint) == (stage.name, stage.attempt, stage.fingerprint):
                return job if stage.is_open else None
        return None

    def warnings_about(self, name: str) -> list[EventView]:
        """Warning Events about one object, newest last."""
        return sorted((event for event in self.events if event.object == name), key=lambda event: event.time)
