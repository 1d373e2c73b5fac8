"""The reconciliation loop: observe, decide, apply, until the run is over.

A round lists objects only after a watch event or when the last list is too old; in between, only timeouts are checked.
Every round is idempotent, and the next round recovers from a crash between any two lines.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from skutune.cluster.apply import Applier
from skutune.cluster.decide import Decision, Finish, decide
from skutune.cluster.kube.api import RejectedError, now
from skutune.cluster.metrics import Metrics
from skutune.cluster.observe import Observer
from skutune.cluster.progress import ProgressReader, StageProgress
from skutune.cluster.snapshot import Snapshot
from skutune.cluster.status import StatusWriter
from skutune.errors import RetryableError, SkutuneError, StoppedError
from skutune.store.lease import Lease

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intervals:
    """The controller's intervals, in seconds.

    Attributes:
        debounce: minimum time between two lists.
        tick: interval of the timeout checks between lists.
        resync: maximum time between two lists, in case a watch ended silently.
        progress: interval of reading the workers' progress.
        event_delay: how long a stage waits for the same reason before an Event reports it.
        outage: how long the API server or the store may fail before the controller exits with 75.
    """

    debounce: float = 1.0
    tick: float = 10.0
    resync: float = 120.0
    progress: float = 15.0
    event_delay: float = 60.0
    outage: float = 6 * 3600.0


class Reconciler:
    """The loop of one controller. `on_finish` is called once, when the run is over."""

    def __init__(
        self,
        observer: Observer,
        applier: Applier,
        status: StatusWriter,
        metrics: Metrics,
        lease: Lease,
        intervals: Intervals,
        on_finish: Callable[[Finish], None],
    ) -> None:
        self.observer, self.applier, self.status, self.metrics = observer, applier, status, metrics
        self.lease, self.intervals, self.on_finish = lease, intervals, on_finish
        self.progress_reader = ProgressReader(observer.tracker.store)
        self.progress: dict[str, StageProgress] = {}
        self.progress_read_at = 0.0

    def run(self) -> Finish:
        """Reconcile until the run is over."""
        self.observer.watch()
        failing_since: float | None = None
        while True:
            try:
                finish = self._reconcile()
            except (RetryableError, RejectedError) as error:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self._max_outage(error):
                    raise
                self.metrics.heartbeat()
                _log.warning("%s; retrying", error)
                time.sleep(random.uniform(0.5, 1.0) * min(30.0, 5 * self.intervals.debounce))
                continue
            failing_since = None
            if finish is not None:
                return finish

    def _max_outage(self, error: SkutuneError) -> float:
        """How long an error may persist. A 401 or 403 may be transient while a Role is created or a token renewed."""
        if isinstance(error, RetryableError):
            return self.intervals.outage
        is_forbidden = isinstance(error, RejectedError) and error.status in (401, 403)
        return self.observer.plan.grace_seconds if is_forbidden else 0.0

    def _reconcile(self) -> Finish | None:
        """One round. If it has nothing to do, wait until a change or a timeout."""
        if self.lease.lost:
            raise StoppedError("another controller of this release took over the run; this one stops")
        self.observer.changed.clear()
        snapshot = self._with_progress(self.observer.observe())
        decision = self._decide(snapshot)
        for action in decision.actions:
            if isinstance(action, Finish):
                self.on_finish(action)
                self.status.write(snapshot, {}, self.progress, _state(action), action.message, action.code)
                return action
            self.applier.apply(action)
        if not decision.actions:
            self._wait_for_change(snapshot)
        time.sleep(self.intervals.debounce)
        return None

    def _wait_for_change(self, snapshot: Snapshot) -> None:
        """Wait until a watch reports a change, a timeout requires an action, or the last list is too old."""
        listed = time.monotonic()
        while time.monotonic() - listed < self.intervals.resync:
            if self.observer.changed.wait(self.intervals.tick):
                return
            rejections = dict(self.observer.rejections)
            snapshot = replace(snapshot, now=now(), stages=self.observer.tracker.views(), rejections=rejections)
            snapshot = self._with_progress(snapshot)
            if self._decide(snapshot).actions or self.lease.lost:
                return

    def _with_progress(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the workers' latest progress."""
        self.metrics.heartbeat()
        if abs(snapshot.now - self.progress_read_at) >= self.intervals.progress:
            self.progress_read_at = snapshot.now
            self._read_progress(snapshot)
            snapshot = replace(snapshot, stages=self.observer.tracker.views())
        return snapshot

    def _read_progress(self, snapshot: Snapshot) -> None:
        tracker = self.observer.tracker
        views = snapshot.stages.items()
        running = {name: tracker.task(name) for name, view in views if snapshot.current_job(view) is not None}
        for name in set(self.progress) - set(running):
            del self.progress[name]
        self.progress_reader.retain([task for task in running.values() if task is not None])
        for name, task in running.items():
            if task is not None:
                self.progress[name] = self.progress_reader.read(task, snapshot.now)
                tracker.progressed_at[name] = self.progress_reader.changed_at.get(task.key, 0.0)

    def _decide(self, snapshot: Snapshot) -> Decision:
        decision = decide(snapshot)
        waiting = {
            stage: reason for stage, reason in decision.waiting.items() if snapshot.stages[stage].state == "ready"
        }
        self.applier.recorder.record_persisting("StageWaiting", waiting, snapshot.now, self.intervals.event_delay)
        self.status.write(snapshot, decision.waiting, self.progress)
        self.metrics.update(snapshot, self.progress, self.observer.api)
        return decision


def _state(end: Finish) -> str:
    return "done" if end.code == 0 else "failed"
