"""The controller's loop: list, decide, apply, until the run is over.

It may be killed at any moment and started again, or run twice: what it knows is in the store and in the cluster, and
what it makes has names that follow from what it is for.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from skutune import runs, submission
from skutune.cluster import names
from skutune.cluster.api import ClusterApi, now
from skutune.cluster.apply import Applier
from skutune.cluster.decide import Decision, Finish, decide
from skutune.cluster.events import Say, Teller
from skutune.cluster.jobs import Controller
from skutune.cluster.ledger import Ledger
from skutune.cluster.metrics import Metrics
from skutune.cluster.observe import Observer
from skutune.cluster.observed import Observed
from skutune.cluster.plan import ClusterPlan, ControllerFile, wanted_stages
from skutune.cluster.progress import ProgressReader, StageProgress
from skutune.cluster.status import StatusWriter
from skutune.cluster.views import job_view
from skutune.config import Config
from skutune.errors import InputError, RetryableError, SkutuneError, StoppedError, StopSignal
from skutune.runs import RunInfo
from skutune.store import check_writable, open_store
from skutune.store.base import ObjectStore
from skutune.store.lease import Lease, hold

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the controller looks, in seconds.

    Attributes:
        debounce: shortest time between two rounds that list.
        tick: longest time between two rounds; those without news list nothing.
        resync: longest time between two lists, for a watch that ended unnoticed.
        progress: between two looks at the workers' progress.
        outage: how long API server or store may fail before the controller ends with 75.
    """

    debounce: float = 1.0
    tick: float = 10.0
    resync: float = 120.0
    progress: float = 15.0
    outage: float = 1800.0


def run_controller(
    file: ControllerFile, controller: Controller, say: Say, pace: Pace = Pace(), port: int | None = None
) -> tuple[int, str]:
    """Bring a run to its end; returns the exit code and its reason.

    Args:
        controller: the controller's own Job; it owns all Jobs that are made.
        say: writes a line of the log.
        port: where to serve /metrics and /healthz; None: nowhere.

    Raises:
        InputError: config, plan, catalog or the cluster's set-up is wrong, or another release runs this run.
        RetryableError: the store or the API server failed for longer than `pace.outage`.
        StoppedError: another controller of this release took over.
    """
    plan = file.cluster
    store = open_store(file.config.store)
    _patiently(lambda: check_writable(store), pace)
    config, base = _run_of(file, store, controller)
    api = ClusterApi(controller.namespace)
    owner = f"{controller.namespace}/{controller.release}"
    with hold(store, runs.lease_key(config.run), owner=owner, succeed=True) as lease:
        info = _own(store, api, submission.open_run(store, config, base), owner)
        ledger = Ledger(store, config, plan, info, controller.job_uid)
        teller = Teller(api, controller, say)
        status = StatusWriter(ledger, api, controller, plan.status_config_map, pace.progress)
        try:
            templates = _templates(api, plan)
            _patiently(ledger.read, pace)
            observer = Observer(api, ledger, plan, controller.release, controller.job_uid)
            applier = Applier(api, ledger, plan, controller, templates, teller)
            metrics = Metrics(controller.release, config.run)
            if port is not None:
                metrics.serve(port)
            end = _Loop(observer, applier, status, metrics, lease, pace).run()
        except (SkutuneError, StopSignal) as error:
            _say_how_it_ended(store, config.run, ledger, teller, error)
            raise
        _conclude(store, ledger, plan, end)
        teller.tell("RunDone" if end.code == 0 else "RunFailed", end.message, warning=end.code != 0, code=end.code)
    return end.code, end.message


class _Loop:
    def __init__(
        self,
        observer: Observer,
        applier: Applier,
        status: StatusWriter,
        metrics: Metrics,
        lease: Lease,
        pace: Pace,
    ) -> None:
        self.observer, self.applier, self.status, self.metrics = observer, applier, status, metrics
        self.lease, self.pace = lease, pace
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
            except RetryableError as error:
                trouble = trouble or time.monotonic()
                if time.monotonic() - trouble > self.pace.outage:
                    raise
                _log.warning("%s; trying again", error)
                time.sleep(random.uniform(0.5, 1.0) * min(30.0, 5 * self.pace.debounce))
                continue
            trouble = None
            if finish is not None:
                return finish

    def _rounds(self) -> Finish | None:
        """One round that lists, then rounds that only look at the clock until there is news."""
        if self.lease.lost:
            raise StoppedError("another controller of this release took over; this one leaves it the run")
        self.observer.changed.clear()
        seen = self._seen(self.observer.observe())
        decision = self._decided(seen)
        for action in decision.actions:
            if isinstance(action, Finish):
                self.status.write(seen, {}, self.progress, _state(action), action.message, action.code)
                return action
            self.applier.apply(action)
        if not decision.actions:
            self._wait_for_news(seen)
        time.sleep(self.pace.debounce)
        return None

    def _wait_for_news(self, seen: Observed) -> None:
        """Wait until a watch hints at a change, the clock asks for an action, or the last list is old."""
        listed = time.monotonic()
        while time.monotonic() - listed < self.pace.resync:
            if self.observer.changed.wait(self.pace.tick):
                return
            seen = self._seen(replace(seen, now=now(), stages=self.observer.ledger.views()))
            if self._decided(seen).actions or self.lease.lost:
                return

    def _seen(self, seen: Observed) -> Observed:
        """What is seen, with the progress that workers tell of."""
        self.metrics.beat = time.monotonic()
        if seen.now - self.read_at >= self.pace.progress:
            self.read_at = seen.now
            self._read_progress(seen)
            seen = replace(seen, stages=self.observer.ledger.views())
        return seen

    def _read_progress(self, seen: Observed) -> None:
        ledger = self.observer.ledger
        running = {name: ledger.task(name) for name, view in seen.stages.items() if seen.current(view) is not None}
        for name in set(self.progress) - set(running):
            del self.progress[name]
        for name, task in running.items():
            if task is not None:
                self.progress[name] = self.reader.read(task, seen.now)
                ledger.progressed[name] = self.reader.changed_at.get(task.key, 0.0)

    def _decided(self, seen: Observed) -> Decision:
        decision = decide(seen)
        refusals = {stage: f"its Job is refused: {words}" for stage, (_, words) in self.applier.refused.items()}
        waiting = {**decision.waiting, **refusals}
        for stage, words in waiting.items():
            if seen.stages[stage].state == "ready" and "free devices" not in words:
                self.applier.teller.tell_once(stage, "StageWaits", f"{stage}: {words}", stage=stage)
        self.status.write(seen, waiting, self.progress)
        self.metrics.note(seen, self.progress, self.observer.api)
        return decision


def _run_of(file: ControllerFile, store: ObjectStore, controller: Controller) -> tuple[Config, str | None]:
    """The config with the run's own name, and the run whose rows are taken over."""
    config, base = file.config, file.cluster.base
    if file.cluster.scheduled:
        config = config.model_copy(update={"run": names.scheduled_run(config.run, controller.job_name)})
        base = base or "latest"
    if base == "latest":
        base = runs.latest(store)
    return config, None if base == config.run else base


def _own(store: ObjectStore, api: ClusterApi, info: RunInfo, owner: str) -> RunInfo:
    """Make the run this release's. Raises InputError while the release that has it is still at work."""
    if info.owner is not None and info.owner != owner:
        namespace, _, release = info.owner.partition("/")
        if namespace == api.namespace and _is_at_work(api, release):
            raise InputError(
                f"run {info.run!r} in {store.uri} belongs to the release {release!r}, which is at work on it; "
                "uninstall that one, or choose another run name"
            )
    if info.owner != owner:
        info = replace(info, owner=owner)
        runs.save_run(store, info)
    return info


def _is_at_work(api: ClusterApi, release: str) -> bool:
    jobs, _ = api.list_objects("jobs", job_view, f"{names.INSTANCE}={release},{names.COMPONENT}=controller")
    return any(not job.finished for job in jobs)


def _templates(api: ClusterApi, plan: ClusterPlan) -> dict[str, dict[str, Any]]:
    """The stages' PodTemplates. Raises InputError where one is missing."""
    found = {}
    for name in wanted_stages(plan):
        wanted = plan.stages[name].template
        there = api.get("podtemplates", wanted)
        if there is None:
            raise InputError(f"no PodTemplate {wanted!r} in namespace {api.namespace!r}; install the chart again")
        found[name] = there["template"]
    return found


def _patiently(work: Any, pace: Pace) -> None:
    """Try again while store or network fail, as long as an outage may last."""
    started, wait = time.monotonic(), pace.debounce
    while True:
        try:
            work()
        except RetryableError as error:
            if time.monotonic() - started > pace.outage:
                raise
            _log.warning("%s; trying again", error)
            threading.Event().wait(wait * random.uniform(0.5, 1.0))
            wait = min(30.0, 2 * wait)
        else:
            return


def _say_how_it_ended(
    store: ObjectStore, run: str, ledger: Ledger, teller: Teller, error: SkutuneError | StopSignal
) -> None:
    """Leave the reason where people look. The Jobs stay: the next controller adopts them."""
    stopped = isinstance(error, (StoppedError, StopSignal))
    if isinstance(error, StoppedError):
        return  # the run is another controller's by now
    message = "its controller was told to stop; Jobs that run go on" if stopped else str(error)
    with suppress(InputError, RetryableError):  # a store that fails now is what `error` tells of already
        runs.save_status(store, run, "stopped" if stopped else "failed", ledger.working(), message[:2000])
    if not stopped:
        teller.tell("RunFailed", message, warning=True)


def _conclude(store: ObjectStore, ledger: Ledger, plan: ClusterPlan, end: Finish) -> None:
    if end.code != 0 or plan.until is not None:
        return
    report = ledger.done["report"]
    folder = f"{ledger.info.run}/report/{report.fingerprint}"
    store.put(f"{ledger.info.run}/report.html", store.get(f"{folder}/{report.file('report.html').name}"))
    runs.set_latest(store, ledger.info.run)


def _state(end: Finish) -> str:
    return "done" if end.code == 0 else "failed"
