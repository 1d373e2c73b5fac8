"""The `controller` command, which the chart's Job runs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from skutune.cli.console import event, is_terminal, say

_SET_BY_CHART = "Set by the chart through the downward API."


def controller(
    config_file: Annotated[Path, typer.Option("--config", "-c", help="Controller config, rendered by the chart.")],
    namespace: Annotated[str, typer.Option(envvar="SKUTUNE_NAMESPACE", help=_SET_BY_CHART)],
    job_name: Annotated[str, typer.Option(envvar="SKUTUNE_JOB_NAME", help=_SET_BY_CHART)],
    job_uid: Annotated[str, typer.Option(envvar="SKUTUNE_JOB_UID", help=_SET_BY_CHART)],
    port: Annotated[
        int, typer.Option(envvar="SKUTUNE_METRICS_PORT", help="Port of /metrics and /healthz; 0 disables them.")
    ] = 9090,
    interval_factor: Annotated[
        float,
        typer.Option(envvar="SKUTUNE_INTERVAL_FACTOR", min=0.01, hidden=True, help="Scales all intervals, for tests."),
    ] = 1.0,
) -> int:
    """Run the pipeline on a cluster by submitting a Job per stage (the entry point of the controller pod)."""
    from skutune.cluster.controller import run_controller
    from skutune.cluster.kube.jobs import ControllerRef
    from skutune.cluster.plan import load_controller_file
    from skutune.cluster.reconcile import Intervals

    logging.basicConfig(handlers=[_JsonLines()], level=logging.WARNING, force=True)
    file = load_controller_file(config_file)
    defaults = Intervals()
    scaled = {
        name: interval_factor * getattr(defaults, name)
        for name in ("debounce", "tick", "resync", "progress", "event_delay")
    }
    identity = ControllerRef(namespace, file.release, job_name, job_uid)
    event("controller_started", release=file.release, run=file.config.run, store=file.config.store)
    code, message = run_controller(file, identity, event, replace(defaults, **scaled), port or None)
    if is_terminal():
        say(message)
    # Must be the last line: the end of the log becomes the pod's termination message, which CI prints.
    event("finished" if code == 0 else "error", message=message, exit_code=code)
    return code


class _JsonLines(logging.Handler):
    """Logs warnings as JSON events, like all other output."""

    def emit(self, record: logging.LogRecord) -> None:
        event("log", level=record.levelname.lower(), logger=record.name, message=record.getMessage())
