"""The controller's rounds: list, decide, apply, until the run is over.

A round lists only after a hint that something changed, or once in a while; between them the clock alone is looked at.
What two rounds do is safe to repeat, and a crash between any two lines is mended by the next round.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from skutune.cluster.apply import Applier
from skutune.cluster.decide import Decision, Finish, decide
from skutune.cluster.kube.api import RefusedError, now
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
    """How often the controller looks, in seconds.

    Attributes:
        debounce: shortest time between two rounds that list.
        tick: longest time between two rounds; those without news list nothing.
        resync: longest time between two lists, for a watch that ended unnoticed.
        progress: between two looks at the workers' progress.
        lasting: how long a stage waits for the same thing before an Event says so.
        outage: how long API server or store may fail before the controller ends with 75.
    """

    debounce: float = 1.0
    tick: float = 10.0
    resync: float = 120.0
    progress: float = 15.0
    lasting: float = 60.0
    outage: float = 6 * 3600.0


class Reconciler:
    """The rounds of one controller. `conclude` does what is left to do for a run that is over."""

    def __init__(
        self,
        observer: Observer,
        applier: Applier,
        status: StatusWriter,
        metrics: Metrics,
        lease: Lease,
        pace: Intervals,
        conclude: Callable[[Finish], None],
    ) -> None:
        self.observer, self.applier, self.status, self.metrics = observer, applier, status, metrics
        self.lease, self.pace, self.conclude = lease, pace, conclude
        self.reader = ProgressReader(observer.ledger.store)
        self.progress: dict[str, StageProgress] = {}
        self.read_at = 0.0

    def run(self) -> Finish:
        """Rounds until one says that the run is over."""
        self.observer.watch()
        trouble: float | None = None
        while True:
            try:
                finish = self._rounds()
            except (RetryableError, RefusedError) as error:
                trouble = trouble or time.monotonic()
                if time.monotonic() - trouble > self._patience(error):
                    raise
                self.metrics.beat()
                _log.warning("%s; trying again", error)
                time.sleep(random.uniform(0.5, 1.0) * min(30.0, 5 * self.pace.debounce))
                continue
            trouble = None
            if finish is not None:
                return finish

    def _patience(self, error: SkutuneError) -> float:
        """How long an error may last: rights may be missing for a moment, while they are made or a token is renewed."""
        if isinstance(error, RetryableError):
            return self.pace.outage
        of_rights = isinstance(error, RefusedError) and error.status in (401, 403)
        return self.observer.plan.grace_seconds if of_rights else 0.0

    def _rounds(self) -> Finish | None:
        """One round that lists, then rounds that only look at the clock until there is news."""
        if self.lease.lost:
            raise StoppedError("another controller of this release took over; this one leaves it the run")
        self.observer.changed.clear()
        seen = self._seen(self.observer.observe())
        decision = self._decided(seen)
        for action in decision.actions:
            if isinstance(action, Finish):
                self.conclude(action)
                self.status.write(seen, {}, self.progress, _state(action), action.message, action.code)
                return action
            self.applier.apply(action)
        if not decision.actions:
            self._wait_for_news(seen)
        time.sleep(self.pace.debounce)
        return None

    def _wait_for_news(self, seen: Snapshot) -> None:
        """Wait until a watch hints at a change, the clock asks for an action, or the last list is old."""
        listed = time.monotonic()
        while time.monotonic() - listed < self.pace.resync:
            if self.observer.changed.wait(self.pace.tick):
                return
            refused = dict(self.observer.refused)
            seen = self._seen(replace(seen, now=now(), stages=self.observer.ledger.views(), not_before=refused))
            if self._decided(seen).actions or self.lease.lost:
                return

    def _seen(self, seen: Snapshot) -> Snapshot:
        """What is seen, with the progress that workers tell of."""
        self.metrics.beat()
        if abs(seen.now - self.read_at) >= self.pace.progress:
            self.read_at = seen.now
            self._read_progress(seen)
            seen = replace(seen, stages=self.observer.ledger.views())
        return seen

    def _read_progress(self, seen: Snapshot) -> None:
        ledger = self.observer.ledger
        running = {name: ledger.task(name) for name, view in seen.stages.items() if seen.current(view) is not None}
        for name in set(self.progress) - set(running):
            del self.progress[name]
        self.reader.keep([task for task in running.values() if task is not None])
        for name, task in running.items():
            if task is not None:
                self.progress[name] = self.reader.read(task, seen.now)
                ledger.progressed[name] = self.reader.changed_at.get(task.key, 0.0)

    def _decided(self, seen: Snapshot) -> Decision:
        decision = decide(seen)
        stuck = {stage: words for stage, words in decision.waiting.items() if seen.stages[stage].state == "ready"}
        self.applier.teller.tell_of_lasting("StageWaits", stuck, seen.now, self.pace.lasting)
        self.status.write(seen, decision.waiting, self.progress)
        self.metrics.note(seen, self.progress, self.observer.api)
        return decision


def _state(end: Finish) -> str:
    return "done" if end.code == 0 else "failed"
