"""The controller: from its file to the end of a run.

It may be killed at any moment and started again, or run twice: what it knows is in the store and in the cluster, and
what it makes has names that follow from what it is for.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from skutune.cluster.apply import Applier
from skutune.cluster.decide import Finish
from skutune.cluster.frozen_file import freeze_inputs
from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi
from skutune.cluster.kube.events import EventRecorder, Say
from skutune.cluster.kube.jobs import ControllerRef
from skutune.cluster.kube.views import job_view
from skutune.cluster.metrics import Metrics
from skutune.cluster.observe import Observer
from skutune.cluster.plan import ClusterPlan, ControllerFile, wanted_stages
from skutune.cluster.reconcile import Intervals, Reconciler
from skutune.cluster.stage_tracker import StageTracker
from skutune.cluster.status import StatusWriter
from skutune.config.schema import Config
from skutune.errors import InputError, RetryableError, SkutuneError, StoppedError, StopSignal
from skutune.pipeline import runs, submit
from skutune.pipeline.runs import RunInfo
from skutune.store import check_writable, open_store
from skutune.store.base import ObjectStore
from skutune.store.lease import hold

__all__ = ["Intervals", "run_controller"]
_log = logging.getLogger(__name__)
Result = TypeVar("Result")


def run_controller(
    file: ControllerFile, controller: ControllerRef, say: Say, pace: Intervals, port: int | None = None
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
    config = _with_run_name(file, controller)
    metrics = Metrics(controller.release, config.run)
    if port is not None:
        metrics.serve(port)
    api = ClusterApi(controller.namespace)
    teller = EventRecorder(api, controller, say)
    status = StatusWriter(api, controller, config.run, file.cluster.status_config_map, pace.progress)
    try:
        end = _run(file, config, api, controller, teller, status, metrics, pace)
    except StoppedError:
        raise  # the run is another controller's by now
    except StopSignal:
        status.end("stopped", "its controller was told to stop; Jobs that run go on", StoppedError.exit_code)
        raise
    except Exception as error:
        code = error.exit_code if isinstance(error, SkutuneError) else SkutuneError.exit_code
        status.end("failed", str(error) or type(error).__name__, code)
        teller.tell("RunFailed", str(error), warning=True)
        raise
    teller.tell("RunDone" if end.code == 0 else "RunFailed", end.message, warning=end.code != 0, code=end.code)
    return end.code, end.message


def _run(
    file: ControllerFile,
    config: Config,
    api: ClusterApi,
    controller: ControllerRef,
    teller: EventRecorder,
    status: StatusWriter,
    metrics: Metrics,
    pace: Intervals,
) -> Finish:
    store = open_store(config.store)
    owner = f"{controller.namespace}/{controller.release}"

    def patiently(work: Callable[[], Result]) -> Result:
        return _patiently(work, pace, metrics)

    patiently(lambda: check_writable(store))
    with ExitStack() as held:
        lease = patiently(
            lambda: held.enter_context(hold(store, runs.lease_key(config.run), owner=owner, preempt_same_owner=True))
        )
        orders = patiently(
            lambda: freeze_inputs(
                store, config.run, controller.job_uid, file, lambda: _templates(api, file.cluster, pace)
            )
        )
        plan, config = orders.file.cluster, _with_run_name(orders.file, controller)
        info = patiently(lambda: _own(store, api, config, orders.file, owner))
        ledger = StageTracker(store, config, plan, info, controller.job_uid)
        status.ledger, status.is_ours = ledger, lease.is_ours
        patiently(ledger.read)
        refused: dict[str, tuple[float, str]] = {}
        observer = Observer(api, ledger, plan, controller.release, controller.job_uid, refused=refused)
        applier = Applier(api, ledger, plan, controller, orders.templates, teller, refused)
        conclude = partial(_conclude, store, ledger, plan)
        return Reconciler(observer, applier, status, metrics, lease, pace, conclude).run()


def _with_run_name(file: ControllerFile, controller: ControllerRef) -> Config:
    """The config with the run's own name: a scheduled run is called by its Job."""
    if not file.cluster.scheduled:
        return file.config
    return file.config.model_copy(update={"run": names.scheduled_run(file.config.run, controller.job_name)})


def _base(file: ControllerFile, store: ObjectStore, run: str, earlier: RunInfo | None) -> str | None:
    """The run whose rows are taken over. `latest` is looked up once: another run may pass while this one goes on."""
    base = file.cluster.base or ("latest" if file.cluster.scheduled else None)
    if base == "latest":
        base = earlier.base if earlier is not None else runs.latest(store)
    return None if base == run else base


def _own(store: ObjectStore, api: ClusterApi, config: Config, file: ControllerFile, owner: str) -> RunInfo:
    """The run's record as this release's. Raises InputError while the release that has it is still at work."""
    earlier = runs.load_run(store, config.run)
    if earlier is not None and earlier.owner not in (None, owner):
        namespace, _, release = str(earlier.owner).partition("/")
        if namespace == api.namespace and _is_at_work(api, release):
            raise InputError(
                f"run {config.run!r} in {store.uri} belongs to the release {release!r}, which is at work on it; "
                "uninstall that one, or choose another run name"
            )
    info = submit.open_run(store, config, _base(file, store, config.run, earlier))
    if info.owner != owner:
        info = replace(info, owner=owner)
        runs.save_run(store, info)
    return info


def _is_at_work(api: ClusterApi, release: str) -> bool:
    jobs, _ = api.list_objects("jobs", job_view, f"{names.INSTANCE}={release},{names.COMPONENT}=controller")
    return any(not job.finished for job in jobs)


def _templates(api: ClusterApi, plan: ClusterPlan, pace: Intervals) -> dict[str, dict[str, Any]]:
    """The stages' PodTemplates; helm makes them a moment after the Job. Raises InputError where one stays away."""
    found: dict[str, dict[str, Any]] = {}
    until = time.monotonic() + plan.grace_seconds
    for name in wanted_stages(plan):
        wanted = plan.stages[name].template
        while (there := api.get("podtemplates", wanted)) is None:
            if time.monotonic() > until:
                raise InputError(f"no PodTemplate {wanted!r} in namespace {api.namespace!r}; install the chart again")
            time.sleep(pace.debounce)
        found[name] = there["template"]
    return found


def _patiently(work: Callable[[], Result], pace: Intervals, metrics: Metrics) -> Result:
    """Try again while store or network fail, as long as an outage may last."""
    started, wait = time.monotonic(), pace.debounce
    while True:
        try:
            return work()
        except RetryableError as error:
            if time.monotonic() - started > pace.outage:
                raise
            _log.warning("%s; trying again", error)
            metrics.beat()
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(30.0, 2 * wait)


def _conclude(store: ObjectStore, ledger: StageTracker, plan: ClusterPlan, end: Finish) -> None:
    if end.code != 0 or plan.until is not None:
        return
    report = ledger.done["report"]
    folder = f"{ledger.info.run}/report/{report.fingerprint}"
    store.put(f"{ledger.info.run}/report.html", store.get(f"{folder}/{report.file('report.html').name}"))
    runs.set_latest(store, ledger.info.run)
