"""The status of a run: `status.json` in the store, and a copy in a ConfigMap for `kubectl`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from skutune.cluster import budget
from skutune.cluster.kube.api import ClusterApi, now
from skutune.cluster.kube.jobs import ControllerRef
from skutune.cluster.progress import StageProgress
from skutune.cluster.snapshot import Snapshot, StageView
from skutune.cluster.stage_tracker import StageTracker
from skutune.errors import InputError, RetryableError
from skutune.pipeline.status import save_status

_log = logging.getLogger(__name__)
CONFIG_MAP_BYTES = 32 * 1024
_MAX_MESSAGE_LENGTH = 400
_REWRITE_SECONDS = 300.0
"""An unchanged status is rewritten after this time: a previous controller may have overwritten it as it ended."""


@dataclass
class StatusWriter:
    """Writes the status when it has changed, and the progress of running stages at most every `seconds`.

    Without a `tracker` the controller does not own the run yet, and only the ConfigMap is written.
    """

    api: ClusterApi
    controller: ControllerRef
    run: str
    config_map: str | None
    seconds: float = 15.0
    tracker: StageTracker | None = None
    is_ours: Callable[[], bool] = lambda: True
    _states: dict[str, Any] = field(default_factory=dict)
    _written: dict[str, Any] = field(default_factory=dict)
    _time: float = 0.0

    def write(
        self,
        snapshot: Snapshot,
        waiting: Mapping[str, str],
        progress: Mapping[str, StageProgress],
        state: str = "running",
        message: str = "",
        exit_code: int | None = None,
    ) -> None:
        """Write the status if it has changed."""
        stages = {
            name: _stage(view, snapshot, waiting.get(name), progress.get(name), self._rows(name))
            for name, view in snapshot.stages.items()
        }
        cluster = {
            **self._cluster(exit_code),
            "devices": snapshot.plan.devices,
            "devices_in_flight": budget.in_flight(snapshot),
            "stages": stages,
        }
        states = {name: (each["state"], each["attempt"], each["reason"]) for name, each in stages.items()}
        document = {
            "state": state,
            "message": message,
            "cluster": cluster,
            "working": self.tracker.working() if self.tracker else {},
        }
        is_changed = (states, state, message) != self._states.get("last")
        age = abs(snapshot.now - self._time)
        if not is_changed and (age < self.seconds or (document == self._written and age < _REWRITE_SECONDS)):
            return
        self._time = snapshot.now
        if self._put(document):
            self._written, self._states = document, {"last": (states, state, message)}

    def end(self, state: str, message: str, exit_code: int) -> None:
        """Write the controller's final status, with the stages as last written."""
        last_cluster = self._written.get("cluster", {"devices": 0, "devices_in_flight": 0, "stages": {}})
        cluster = {**last_cluster, **self._cluster(exit_code)}
        working = self.tracker.working() if self.tracker else {}
        # If the store or the API server fails now, `message` already reports it.
        with suppress(InputError, RetryableError):
            if not self.is_ours():  # another controller owns the status
                return
            self._put({"state": state, "message": message[:2000], "cluster": cluster, "working": working})

    def _cluster(self, exit_code: int | None) -> dict[str, Any]:
        return {
            "release": self.controller.release,
            "namespace": self.controller.namespace,
            "exit_code": exit_code,
        }

    def _put(self, document: Mapping[str, Any]) -> bool:
        """Write to store and ConfigMap. Returns whether the ConfigMap was written."""
        status = {"run": self.run, **document, "time": now()}
        is_config_map_written = self._update_config_map(status)
        if self.tracker is not None:
            save_status(
                self.tracker.store,
                self.run,
                document["state"],
                document["working"],
                document["message"],
                document["cluster"],
            )
        return is_config_map_written

    def _update_config_map(self, document: Mapping[str, Any]) -> bool:
        if self.config_map is None:
            return True
        data = {"status.json": _truncated(document), "summary": summary(document)}
        try:
            if self.api.patch("configmaps", self.config_map, {"data": data}) is None:
                _log.warning("ConfigMap %s not found: the status is only in the store", self.config_map)
        except (InputError, RetryableError) as error:
            _log.warning("status ConfigMap not updated: %s", error)
            return False
        return True

    def _rows(self, name: str) -> tuple[int, int, int]:
        manifest = self.tracker.done.get(name) if self.tracker else None
        if manifest is None:
            return 0, 0, 0
        return len(manifest.parts()), manifest.rows(), manifest.rejected()


def summary(document: Mapping[str, Any]) -> str:
    """The status as a table, followed by the reasons of waiting and failed stages."""
    cluster = document["cluster"]
    lines = [
        f"run {document['run']}: {document['state']}"
        + (f" (exit code {cluster['exit_code']})" if cluster["exit_code"] is not None else ""),
        f"devices: {cluster['devices_in_flight']} of {cluster['devices']} in use",
        "",
        f"{'STAGE':<12}{'STATE':<10}{'ATTEMPT':>8}{'PODS':>6}{'PROGRESS':>10}{'ROWS':>10}{'REJECTED':>10}{'TOKENS/S':>10}",
    ]
    for name, stage in cluster["stages"].items():
        lines.append(
            f"{name:<12}{stage['state']:<10}{stage['attempt'] or '':>8}{stage['pods'] or '':>6}"
            f"{_percent(stage):>10}{stage['rows']:>10}{stage['rejected']:>10}{stage['tokens_per_second'] or '':>10}"
        )
    notes = [f"{name}: {stage['reason'] or stage['waiting']}" for name, stage in cluster["stages"].items()]
    lines += ["", *(note for note in notes if not note.endswith(": None"))]
    if document["message"]:
        lines += ["", document["message"]]
    return "\n".join(lines).rstrip() + "\n"


def _percent(stage: Mapping[str, Any]) -> str:
    if stage["state"] == "done":
        return "100 %"
    return f"{100 * stage['done'] / stage['total']:.0f} %" if stage["total"] else ""


def _stage(
    view: StageView,
    snapshot: Snapshot,
    waiting: str | None,
    progress: StageProgress | None,
    manifest_counts: tuple[int, int, int],
) -> dict[str, Any]:
    job = snapshot.current_job(view)
    pods = sum(1 for pod in snapshot.pods_of(job) if pod.live and pod.started is not None) if job else 0
    parts, rows, rejected = manifest_counts
    failed = view.failed
    state = view.state
    if failed is not None:
        state_name = "failed"
    elif state == "ready":
        state_name = "running" if pods else "waiting"
    else:
        state_name = "done" if state == "done" else "blocked"
    stage_progress = progress or StageProgress()
    return {
        "state": state_name,
        "attempt": view.attempt,
        "pods": pods,
        "parts": parts,
        "done": round(stage_progress.done, 2),
        "total": round(stage_progress.total, 2),
        "unit": stage_progress.unit,
        "rows": rows or stage_progress.rows,
        "rejected": rejected or stage_progress.rejected,
        "tokens_per_second": round(stage_progress.tokens_per_second),
        "waiting": waiting[:_MAX_MESSAGE_LENGTH] if waiting else None,
        "reason": failed.reason[:_MAX_MESSAGE_LENGTH] if failed else None,
    }


def _truncated(document: Mapping[str, Any]) -> str:
    """The document as JSON, without its messages if it would exceed CONFIG_MAP_BYTES."""
    text = json.dumps(document, ensure_ascii=False)
    if len(text.encode()) <= CONFIG_MAP_BYTES:
        return text
    truncated = json.loads(text)
    truncated["message"] = truncated["message"][:_MAX_MESSAGE_LENGTH]
    for stage in truncated["cluster"]["stages"].values():
        stage["waiting"] = stage["reason"] = None
    return json.dumps(truncated, ensure_ascii=False)
