"""All that a decision is made from, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from skutune.cluster.kube.views import EventView, JobView, PodView
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan, StagePlan


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage as the store shows it.

    Attributes:
        state: done by its manifest, ready when all that it reads is done, else blocked.
        attempt: number of the newest task in its folder, 0 where there is none.
        is_open: whether that task is this controller's and has no outcome.
        pods: what the open attempt has, or the next would have.
        outcomes: of this controller's attempts, oldest first.
        progressed: when progress in the store was last seen to change.
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
    progressed: float | None = None

    @property
    def failed(self) -> AttemptOutcome | None:
        """The outcome after which no attempt follows."""
        if self.state == "done" or not self.outcomes:
            return None
        last = self.outcomes[-1]
        return last if last.final or len(self.outcomes) >= self.plan.attempts else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Stages in their order; this run's Jobs and pods; warnings about those that do not start."""

    plan: ClusterPlan
    uid: str
    now: float
    stages: Mapping[str, StageView]
    jobs: tuple[JobView, ...] = ()
    pods: tuple[PodView, ...] = ()
    events: tuple[EventView, ...] = ()
    quiet_since: Mapping[str, float] = field(default_factory=dict)
    """Since when a Job was seen without any pod on a node."""
    refused_since: Mapping[str, float] = field(default_factory=dict)
    """Since when a pod or a Job was seen with an error of image, config or admission, without a break."""
    not_before: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    """Stages whose Job the API server refused: when to ask again, and what it said."""
    elsewhere: int = 0
    """Devices that other runs of this release hold: one that an upgrade ended, or another scheduled one."""

    def pods_of(self, job: JobView) -> list[PodView]:
        """The pods of a Job that have not succeeded; those of one that was deleted under the same name are not its."""
        return [pod for pod in self.pods if pod.job == job.name and pod.job_uid in ("", job.uid)]

    def current(self, stage: StageView) -> JobView | None:
        """The Job of a stage's open attempt, if it is there."""
        for job in self.jobs:
            if (job.stage, job.attempt, job.fingerprint) == (stage.name, stage.attempt, stage.fingerprint):
                return job if stage.is_open else None
        return None

    def warnings_about(self, name: str) -> list[EventView]:
        """Warnings about one object, newest last."""
        return sorted((event for event in self.events if event.object == name), key=lambda event: event.time)
