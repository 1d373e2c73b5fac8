"""The controller's entry point: loads its inputs, claims the run, and reconciles until the run is over.

The controller may be killed and restarted at any time, and two may run at once: all state is in the store and the
cluster, and the objects it creates have deterministic names.
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
from skutune.cluster.kube.events import EventRecorder, LogEvent
from skutune.cluster.kube.jobs import ControllerRef
from skutune.cluster.kube.views import job_view
from skutune.cluster.metrics import Metrics
from skutune.cluster.observe import Observer
from skutune.cluster.plan import ClusterPlan, ControllerFile, selected_stages
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
T = TypeVar("T")


def run_controller(
    file: ControllerFile, controller: ControllerRef, log_event: LogEvent, intervals: Intervals, port: int | None = None
) -> tuple[int, str]:
    """Run the pipeline to its end. Returns the exit code and the message that explains it.

    Args:
        controller: the controller's own Job, which owns all Jobs that it creates.
        log_event: writes one line to the log.
        port: the port of /metrics and /healthz; None disables both.

    Raises:
        InputError: config, plan, catalog or cluster setup is wrong, or another release is active on this run.
        RetryableError: the store or the API server was unavailable for longer than `intervals.outage`.
        StoppedError: another controller of this release took over.
    """
    config = _with_run_name(file, controller)
    metrics = Metrics(controller.release, config.run)
    if port is not None:
        metrics.serve(port)
    api = ClusterApi(controller.namespace)
    recorder = EventRecorder(api, controller, log_event)
    status = StatusWriter(api, controller, config.run, file.cluster.status_config_map, intervals.progress)
    try:
        end = _run(file, config, api, controller, recorder, status, metrics, intervals)
    except StoppedError:
        raise  # another controller owns the run and its status
    except StopSignal:
        status.end("stopped", "the controller was stopped; running Jobs continue", StoppedError.exit_code)
        raise
    except Exception as error:
        code = error.exit_code if isinstance(error, SkutuneError) else SkutuneError.exit_code
        status.end("failed", str(error) or type(error).__name__, code)
        recorder.record("RunFailed", str(error), warning=True)
        raise
    recorder.record("RunCompleted" if end.code == 0 else "RunFailed", end.message, warning=end.code != 0, code=end.code)
    return end.code, end.message


def _run(
    file: ControllerFile,
    config: Config,
    api: ClusterApi,
    controller: ControllerRef,
    recorder: EventRecorder,
    status: StatusWriter,
    metrics: Metrics,
    intervals: Intervals,
) -> Finish:
    store = open_store(config.store)
    owner = f"{controller.namespace}/{controller.release}"

    def with_retries(operation: Callable[[], T]) -> T:
        return _with_retries(operation, intervals, metrics)

    with_retries(lambda: check_writable(store))
    with ExitStack() as held:
        lease = with_retries(
            lambda: held.enter_context(hold(store, runs.lease_key(config.run), owner=owner, preempt_same_owner=True))
        )
        frozen = with_retries(
            lambda: freeze_inputs(
                store, config.run, controller.job_uid, file, lambda: _read_templates(api, file.cluster, intervals)
            )
        )
        plan, config = frozen.file.cluster, _with_run_name(frozen.file, controller)
        info = with_retries(lambda: _claim_run(store, api, config, frozen.file, owner))
        tracker = StageTracker(store, config, plan, info, controller.job_uid)
        status.tracker, status.is_ours = tracker, lease.is_ours
        with_retries(tracker.read)
        rejections: dict[str, tuple[float, str]] = {}
        observer = Observer(api, tracker, plan, controller.release, controller.job_uid, rejections=rejections)
        applier = Applier(api, tracker, plan, controller, frozen.templates, recorder, rejections)
        on_finish = partial(_publish, store, tracker, plan)
        return Reconciler(observer, applier, status, metrics, lease, intervals, on_finish).run()


def _with_run_name(file: ControllerFile, controller: ControllerRef) -> Config:
    """The config with the name of this run. A scheduled run is named after its Job."""
    if not file.cluster.scheduled:
        return file.config
    return file.config.model_copy(update={"run": names.scheduled_run(file.config.run, controller.job_name)})


def _base(file: ControllerFile, store: ObjectStore, run: str, existing: RunInfo | None) -> str | None:
    """The run whose rows are reused. `latest` is resolved only once per run, because it may change in the meantime."""
    base = file.cluster.base or ("latest" if file.cluster.scheduled else None)
    if base == "latest":
        base = existing.base if existing is not None else runs.latest(store)
    return None if base == run else base


def _claim_run(store: ObjectStore, api: ClusterApi, config: Config, file: ControllerFile, owner: str) -> RunInfo:
    """Open the run and record this release as its owner. Raises InputError while another owner is still active."""
    existing = runs.load_run(store, config.run)
    if existing is not None and existing.owner not in (None, owner):
        namespace, _, release = str(existing.owner).partition("/")
        if namespace == api.namespace and _is_active(api, release):
            raise InputError(
                f"run {config.run!r} in {store.uri} belongs to release {release!r}, whose controller is still active; "
                "uninstall that release or choose another run name"
            )
    info = submit.open_run(store, config, _base(file, store, config.run, existing))
    if info.owner != owner:
        info = replace(info, owner=owner)
        runs.save_run(store, info)
    return info


def _is_active(api: ClusterApi, release: str) -> bool:
    jobs, _ = api.list_objects("jobs", job_view, f"{names.INSTANCE}={release},{names.COMPONENT}=controller")
    return any(not job.finished for job in jobs)


def _read_templates(api: ClusterApi, plan: ClusterPlan, intervals: Intervals) -> dict[str, dict[str, Any]]:
    """The `template` of each stage's PodTemplate. Helm may create them shortly after the controller's Job.

    Raises InputError when one is still missing after the grace period.
    """
    templates: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + plan.grace_seconds
    for name in selected_stages(plan):
        template_name = plan.stages[name].template
        while (pod_template := api.get("podtemplates", template_name)) is None:
            if time.monotonic() > deadline:
                raise InputError(
                    f"PodTemplate {template_name!r} not found in namespace {api.namespace!r}; run `helm upgrade` again"
                )
            time.sleep(intervals.debounce)
        templates[name] = pod_template["template"]
    return templates


def _with_retries(operation: Callable[[], T], intervals: Intervals, metrics: Metrics) -> T:
    """Retry with backoff while the store or the network fails, for at most `intervals.outage` seconds."""
    started, wait = time.monotonic(), intervals.debounce
    while True:
        try:
            return operation()
        except RetryableError as error:
            if time.monotonic() - started > intervals.outage:
                raise
            _log.warning("%s; retrying", error)
            metrics.heartbeat()
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(30.0, 2 * wait)


def _publish(store: ObjectStore, tracker: StageTracker, plan: ClusterPlan, end: Finish) -> None:
    if end.code != 0 or plan.until is not None:
        return
    report = tracker.done["report"]
    folder = f"{tracker.info.run}/report/{report.fingerprint}"
    store.put(f"{tracker.info.run}/report.html", store.get(f"{folder}/{report.file('report.html').name}"))
    runs.set_latest(store, tracker.info.run)
