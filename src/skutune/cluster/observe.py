"""Builds snapshots from the API: lists of Jobs and pods, and warning Events about those that do not start."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace

from skutune.cluster.budget import devices_held
from skutune.cluster.diagnosis import startup_errors
from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi, RejectedError, now
from skutune.cluster.kube.views import EventView, JobView, PodView, event_view, job_view, pod_view
from skutune.cluster.kube.watch import Watch
from skutune.cluster.plan import ClusterPlan
from skutune.cluster.snapshot import Snapshot
from skutune.cluster.stage_tracker import StageTracker
from skutune.errors import SkutuneError

_log = logging.getLogger(__name__)
_NOT_SUCCEEDED = "status.phase!=Succeeded"
_EVENTS_SECONDS = 10.0
_MAX_OBJECTS = 3


@dataclass
class Observer:
    """Observes one run of a release. Its watches set `changed`; `rejections` is shared with the applier."""

    api: ClusterApi
    tracker: StageTracker
    plan: ClusterPlan
    release: str
    uid: str
    changed: threading.Event = field(default_factory=threading.Event)

    rejections: dict[str, tuple[float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._run = self.tracker.info.run
        self._labels = names.selector(self.release)
        self._watches = {
            "jobs": Watch(self.api, "jobs", self._labels, "", self.changed),
            "pods": Watch(self.api, "pods", self._labels, _NOT_SUCCEEDED, self.changed),
        }
        self._unscheduled_since: dict[str, float] = {}
        self._startup_errors_since: dict[str, float] = {}
        self._warnings: dict[str, tuple[float, list[EventView]]] = {}

    def watch(self) -> None:
        """Start the watches. Each observation gives them the resource version to resume from."""
        for each in self._watches.values():
            each.start()

    def observe(self) -> Snapshot:
        """Read the store's news, then list pods and Jobs.

        Pods are listed first: a pod that ends between the two lists then counts as running, never as missing.

        Raises:
            RetryableError: the store or the API server failed.
            SkutuneError: a watch thread died.
        """
        for plural, each in self._watches.items():
            if each.ident is not None and not each.is_alive():
                raise SkutuneError(f"the watch thread of {plural} died")
        self.tracker.read()
        pods, pods_version = self.api.list_objects("pods", pod_view, self._labels, _NOT_SUCCEEDED)
        jobs, jobs_version = self.api.list_objects("jobs", job_view, self._labels)
        self._watches["pods"].begin(pods_version)
        self._watches["jobs"].begin(jobs_version)
        observed_at = now()
        own_jobs = [job for job in jobs if job.run == self._run]
        own_pods = [pod for pod in pods if pod.run == self._run]
        self._track_unscheduled(own_jobs, own_pods, observed_at)
        snapshot = Snapshot(
            self.plan,
            self.uid,
            observed_at,
            self.tracker.views(),
            tuple(own_jobs),
            tuple(own_pods),
            tuple(self._warning_events(own_jobs, own_pods, observed_at)),
            dict(self._unscheduled_since),
            {},
            dict(self.rejections),
            devices_held((job for job in jobs if job.run != self._run), (pod for pod in pods if pod.run != self._run)),
        )
        return replace(snapshot, startup_errors_since=self._track_startup_errors(snapshot))

    def _track_startup_errors(self, snapshot: Snapshot) -> dict[str, float]:
        """Track since when each pod or Job has had a startup error."""
        affected = {name for job in snapshot.jobs for name, _ in startup_errors(snapshot, job)}
        self._startup_errors_since = {name: self._startup_errors_since.get(name, snapshot.now) for name in affected}
        return dict(self._startup_errors_since)

    def _track_unscheduled(self, jobs: list[JobView], pods: list[PodView], observed_at: float) -> None:
        """Track since when each Job has had no scheduled pod. The times start over when the controller restarts."""
        placed = {pod.job for pod in pods if pod.live and pod.scheduled is not None}
        for job in jobs:
            if job.finished or job.name in placed:
                self._unscheduled_since[job.name] = observed_at
            else:
                self._unscheduled_since.setdefault(job.name, observed_at)
        for gone in set(self._unscheduled_since) - {job.name for job in jobs}:
            del self._unscheduled_since[gone]

    def _warning_events(self, jobs: list[JobView], pods: list[PodView], observed_at: float) -> list[EventView]:
        """Warning Events about Jobs without pods, and about scheduled pods that do not start."""
        with_pods = {pod.job for pod in pods if pod.live}
        unfinished = [job for job in jobs if not job.finished and not job.deleting and not job.suspended]
        stuck = [job.name for job in unfinished if job.name not in with_pods]
        stuck += [pod.name for pod in pods if pod.live and pod.scheduled and pod.started is None]
        warnings = []
        self._warnings = {name: known for name, known in self._warnings.items() if name in stuck}
        for name in stuck[:_MAX_OBJECTS]:
            fetched_at, events = self._warnings.get(name, (0.0, []))
            if observed_at - fetched_at > _EVENTS_SECONDS:
                events = self._events(name)
                self._warnings[name] = (observed_at, events)
            warnings += events
        return warnings

    def _events(self, name: str) -> list[EventView]:
        try:
            events, _ = self.api.list_objects("events", event_view, fields=f"involvedObject.name={name},type=Warning")
        except RejectedError as error:  # without permission to read Events, a wait is only explained in less detail
            _log.warning("%s", error)
            return []
        return events
