"""The command that a pod of the chart runs: the controller."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from skutune.cli.console import event, is_terminal, say

_Environment = "Set by the chart, by the downward API."


def controller(
    config_file: Annotated[
        Path, typer.Option("--config", "-c", help="The controller's file, which the chart renders.")
    ],
    namespace: Annotated[str, typer.Option(envvar="SKUTUNE_NAMESPACE", help=_Environment)],
    job_name: Annotated[str, typer.Option(envvar="SKUTUNE_JOB_NAME", help=_Environment)],
    job_uid: Annotated[str, typer.Option(envvar="SKUTUNE_JOB_UID", help=_Environment)],
    port: Annotated[int, typer.Option(envvar="SKUTUNE_METRICS_PORT", help="Of /metrics and /healthz; 0: none.")] = 9090,
    pace: Annotated[
        float, typer.Option(envvar="SKUTUNE_PACE", min=0.01, hidden=True, help="Factor of all its waits, for tests.")
    ] = 1.0,
) -> int:
    """Run the pipeline on a cluster: submit the stages' Jobs in order (what the chart's Job runs)."""
    from skutune.cluster.controller import run_controller
    from skutune.cluster.kube.jobs import ControllerRef
    from skutune.cluster.plan import load_controller_file
    from skutune.cluster.reconcile import Intervals

    logging.basicConfig(handlers=[_JsonLines()], level=logging.WARNING, force=True)
    file = load_controller_file(config_file)
    waits = Intervals()
    often = {name: pace * getattr(waits, name) for name in ("debounce", "tick", "resync", "progress", "event_delay")}
    identity = ControllerRef(namespace, file.release, job_name, job_uid)
    event("controller_started", release=file.release, run=file.config.run, store=file.config.store)
    code, message = run_controller(file, identity, event, replace(waits, **often), port or None)
    if is_terminal():
        say(message)
    # The last line: a pod's termination message, which CI prints, is the end of its log.
    event("finished" if code == 0 else "error", message=message, exit_code=code)
    return code


class _JsonLines(logging.Handler):
    """Warnings of libraries and of the loop, as events like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        event("log", level=record.levelname.lower(), logger=record.name, message=record.getMessage())
