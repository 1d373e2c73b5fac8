"""From the API to what decisions are made from: two lists, and warnings about what does not start."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace

from skutune.cluster.budget import held
from skutune.cluster.diagnosis import refusals
from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi, RefusedError, now
from skutune.cluster.kube.views import EventView, JobView, PodView, event_view, job_view, pod_view
from skutune.cluster.kube.watch import Watch
from skutune.cluster.plan import ClusterPlan
from skutune.cluster.snapshot import Snapshot
from skutune.cluster.stage_tracker import StageTracker
from skutune.errors import SkutuneError

_log = logging.getLogger(__name__)
_UNFINISHED = "status.phase!=Succeeded"
_WARNINGS_SECONDS = 10.0
_MOST_WARNED = 3


@dataclass
class Observer:
    """Sees one run of a release. `changed` is set by its watches; `refused` is what the applier keeps."""

    api: ClusterApi
    ledger: StageTracker
    plan: ClusterPlan
    release: str
    uid: str
    changed: threading.Event = field(default_factory=threading.Event)

    refused: dict[str, tuple[float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._run = self.ledger.info.run
        self._labels = names.selector(self.release)
        self._watches = {
            "jobs": Watch(self.api, "jobs", self._labels, "", self.changed),
            "pods": Watch(self.api, "pods", self._labels, _UNFINISHED, self.changed),
        }
        self._quiet: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._warnings: dict[str, tuple[float, list[EventView]]] = {}

    def watch(self) -> None:
        """Begin to watch; each observation tells the watches where to go on."""
        for each in self._watches.values():
            each.start()

    def observe(self) -> Snapshot:
        """Read what is new in the store, then list Jobs and pods.

        Pods first: one that ends in between counts as running, never as gone.

        Raises:
            RetryableError: store or API server failed.
            SkutuneError: a watch ended by a fault of its own; it is no use to go on half blind.
        """
        for plural, each in self._watches.items():
            if each.ident is not None and not each.is_alive():
                raise SkutuneError(f"the watch of {plural} ended by a fault")
        self.ledger.read()
        pods, pods_version = self.api.list_objects("pods", pod_view, self._labels, _UNFINISHED)
        jobs, jobs_version = self.api.list_objects("jobs", job_view, self._labels)
        self._watches["pods"].begin(pods_version)
        self._watches["jobs"].begin(jobs_version)
        moment = now()
        mine = [job for job in jobs if job.run == self._run]
        my_pods = [pod for pod in pods if pod.run == self._run]
        self._note_quiet(mine, my_pods, moment)
        seen = Snapshot(
            self.plan,
            self.uid,
            moment,
            self.ledger.views(),
            tuple(mine),
            tuple(my_pods),
            tuple(self._warned(mine, my_pods, moment)),
            dict(self._quiet),
            {},
            dict(self.refused),
            held((job for job in jobs if job.run != self._run), (pod for pod in pods if pod.run != self._run)),
        )
        return replace(seen, refused_since=self._note_refusals(seen))

    def _note_refusals(self, seen: Snapshot) -> dict[str, float]:
        """Keep since when each pod or Job has had an error that may still heal."""
        refused = {name for job in seen.jobs for name, _ in refusals(seen, job)}
        self._refused = {name: self._refused.get(name, seen.now) for name in refused}
        return dict(self._refused)

    def _note_quiet(self, jobs: list[JobView], pods: list[PodView], moment: float) -> None:
        """Keep since when each Job has had no pod on a node; a controller that was restarted begins to count anew."""
        placed = {pod.job for pod in pods if pod.live and pod.scheduled is not None}
        for job in jobs:
            if job.finished or job.name in placed:
                self._quiet[job.name] = moment
            else:
                self._quiet.setdefault(job.name, moment)
        for gone in set(self._quiet) - {job.name for job in jobs}:
            del self._quiet[gone]

    def _warned(self, jobs: list[JobView], pods: list[PodView], moment: float) -> list[EventView]:
        """Warnings about Jobs that have no pod, and about pods that have a node and do not start."""
        with_pods = {pod.job for pod in pods if pod.live}
        unfinished = [job for job in jobs if not job.finished and not job.deleting and not job.suspended]
        stuck = [job.name for job in unfinished if job.name not in with_pods]
        stuck += [pod.name for pod in pods if pod.live and pod.scheduled and pod.started is None]
        found = []
        self._warnings = {name: known for name, known in self._warnings.items() if name in stuck}
        for name in stuck[:_MOST_WARNED]:
            asked, events = self._warnings.get(name, (0.0, []))
            if moment - asked > _WARNINGS_SECONDS:
                events = self._events(name)
                self._warnings[name] = (moment, events)
            found += events
        return found

    def _events(self, name: str) -> list[EventView]:
        try:
            events, _ = self.api.list_objects("events", event_view, fields=f"involvedObject.name={name},type=Warning")
        except RefusedError as error:  # without the right to read them a wait is only explained less well
            _log.warning("%s", error)
            return []
        return events
