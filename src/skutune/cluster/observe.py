"""From the API to what decisions are made from: two lists, and warnings about what does not start."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from skutune.cluster import names
from skutune.cluster.api import ClusterApi, now
from skutune.cluster.ledger import Ledger
from skutune.cluster.observed import Observed
from skutune.cluster.plan import ClusterPlan
from skutune.cluster.views import EventView, JobView, PodView, event_view, job_view, pod_view
from skutune.cluster.watches import Watch
from skutune.errors import SkutuneError

_UNFINISHED = "status.phase!=Succeeded"
_WARNINGS_SECONDS = 10.0
_MOST_WARNED = 3


@dataclass
class Observer:
    """Sees one run of a release. `changed` is set by its watches."""

    api: ClusterApi
    ledger: Ledger
    plan: ClusterPlan
    release: str
    uid: str
    changed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        labels = names.selector(self.release, self.ledger.info.run)
        self._labels = labels
        self._watches = {
            "jobs": Watch(self.api, "jobs", labels, "", self.changed),
            "pods": Watch(self.api, "pods", labels, _UNFINISHED, self.changed),
        }
        self._quiet: dict[str, float] = {}
        self._warnings: dict[str, tuple[float, list[EventView]]] = {}

    def watch(self) -> None:
        """Begin to watch; each observation tells the watches where to go on."""
        for each in self._watches.values():
            each.start()

    def observe(self) -> Observed:
        """List Jobs and pods. Pods first: one that ends in between counts as running, never as gone.

        Raises:
            SkutuneError: a watch ended by a fault of its own; it is no use to go on half blind.
        """
        for plural, each in self._watches.items():
            if each.ident is not None and not each.is_alive():
                raise SkutuneError(f"the watch of {plural} ended by a fault")
        pods, pods_version = self.api.list_objects("pods", pod_view, self._labels, _UNFINISHED)
        jobs, jobs_version = self.api.list_objects("jobs", job_view, self._labels)
        self._watches["pods"].begin(pods_version)
        self._watches["jobs"].begin(jobs_version)
        moment = now()
        self._note_quiet(jobs, pods, moment)
        return Observed(
            self.plan,
            self.uid,
            moment,
            self.ledger.views(),
            tuple(jobs),
            tuple(pods),
            tuple(self._warned(jobs, pods, moment)),
            dict(self._quiet),
        )

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
        for name in stuck[:_MOST_WARNED]:
            asked, events = self._warnings.get(name, (0.0, []))
            if moment - asked > _WARNINGS_SECONDS:
                events, _ = self.api.list_objects(
                    "events", event_view, fields=f"involvedObject.name={name},type=Warning"
                )
                self._warnings[name] = (moment, events)
            found += events
        return found
