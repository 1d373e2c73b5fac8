"""What a run's controller shows: `status.json` in the store, and a copy in a ConfigMap for `kubectl`."""

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
COPY_BYTES = 32 * 1024
_LONGEST_SENTENCE = 400
_AGAIN_SECONDS = 300.0
"""A status is written again after so long: a controller that ends late may have written over it."""


@dataclass
class StatusWriter:
    """Writes the status where it changed; the figures of running stages only every `seconds`.

    Until it has a `ledger` the run is not this controller's, and only the copy in the ConfigMap tells.
    """

    api: ClusterApi
    controller: ControllerRef
    run: str
    config_map: str | None
    seconds: float = 15.0
    ledger: StageTracker | None = None
    is_ours: Callable[[], bool] = lambda: True
    _states: dict[str, Any] = field(default_factory=dict)
    _written: dict[str, Any] = field(default_factory=dict)
    _time: float = 0.0

    def write(
        self,
        seen: Snapshot,
        waiting: Mapping[str, str],
        progress: Mapping[str, StageProgress],
        state: str = "running",
        message: str = "",
        exit_code: int | None = None,
    ) -> None:
        """Write the status if it is news."""
        stages = {
            name: _stage(view, seen, waiting.get(name), progress.get(name), self._rows(name))
            for name, view in seen.stages.items()
        }
        cluster = {
            **self._cluster(exit_code),
            "devices": seen.plan.devices,
            "devices_in_flight": budget.in_flight(seen),
            "stages": stages,
        }
        states = {name: (each["state"], each["attempt"], each["reason"]) for name, each in stages.items()}
        document = {
            "state": state,
            "message": message,
            "cluster": cluster,
            "working": self.ledger.working() if self.ledger else {},
        }
        is_news = (states, state, message) != self._states.get("last")
        age = abs(seen.now - self._time)
        if not is_news and (age < self.seconds or (document == self._written and age < _AGAIN_SECONDS)):
            return
        self._time = seen.now
        if self._put(document):
            self._written, self._states = document, {"last": (states, state, message)}

    def end(self, state: str, message: str, exit_code: int) -> None:
        """Write how the controller ended, with the stages as they were shown last."""
        before = self._written.get("cluster", {"devices": 0, "devices_in_flight": 0, "stages": {}})
        cluster = {**before, **self._cluster(exit_code)}
        working = self.ledger.working() if self.ledger else {}
        # A store or an API server that fails now is what `message` tells of already.
        with suppress(InputError, RetryableError):
            if not self.is_ours():  # the next controller has written its own by now
                return
            self._put({"state": state, "message": message[:2000], "cluster": cluster, "working": working})

    def _cluster(self, exit_code: int | None) -> dict[str, Any]:
        return {
            "release": self.controller.release,
            "namespace": self.controller.namespace,
            "exit_code": exit_code,
        }

    def _put(self, document: Mapping[str, Any]) -> bool:
        """Whether store and copy both took it."""
        whole = {"run": self.run, **document, "time": now()}
        is_copied = self._put_copy(whole)
        if self.ledger is not None:
            save_status(
                self.ledger.store,
                self.run,
                document["state"],
                document["working"],
                document["message"],
                document["cluster"],
            )
        return is_copied

    def _put_copy(self, document: Mapping[str, Any]) -> bool:
        if self.config_map is None:
            return True
        data = {"status.json": _copy(document), "summary": summary(document)}
        try:
            if self.api.patch("configmaps", self.config_map, {"data": data}) is None:
                _log.warning("no ConfigMap %s: the status is only in the store", self.config_map)
        except (InputError, RetryableError) as error:
            _log.warning("the status's copy was not written: %s", error)
            return False
        return True

    def _rows(self, name: str) -> tuple[int, int, int]:
        manifest = self.ledger.done.get(name) if self.ledger else None
        if manifest is None:
            return 0, 0, 0
        return len(manifest.parts()), manifest.rows(), manifest.rejected()


def summary(document: Mapping[str, Any]) -> str:
    """The status as a table for a person, with the waiting and the failed explained below."""
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
    seen: Snapshot,
    waiting: str | None,
    progress: StageProgress | None,
    made: tuple[int, int, int],
) -> dict[str, Any]:
    job = seen.current(view)
    pods = sum(1 for pod in seen.pods_of(job) if pod.live and pod.started is not None) if job else 0
    parts, rows, rejected = made
    failed = view.failed
    state = view.state
    if failed is not None:
        state_name = "failed"
    elif state == "ready":
        state_name = "running" if pods else "waiting"
    else:
        state_name = "done" if state == "done" else "blocked"
    shown = progress or StageProgress()
    return {
        "state": state_name,
        "attempt": view.attempt,
        "pods": pods,
        "parts": parts,
        "done": round(shown.done, 2),
        "total": round(shown.total, 2),
        "unit": shown.unit,
        "rows": rows or shown.rows,
        "rejected": rejected or shown.rejected,
        "tokens_per_second": round(shown.tokens_per_second),
        "waiting": waiting[:_LONGEST_SENTENCE] if waiting else None,
        "reason": failed.reason[:_LONGEST_SENTENCE] if failed else None,
    }


def _copy(document: Mapping[str, Any]) -> str:
    """The document, its sentences left away where it would be larger than a copy may be."""
    text = json.dumps(document, ensure_ascii=False)
    if len(text.encode()) <= COPY_BYTES:
        return text
    short = json.loads(text)
    short["message"] = short["message"][:_LONGEST_SENTENCE]
    for stage in short["cluster"]["stages"].values():
        stage["waiting"] = stage["reason"] = None
    return json.dumps(short, ensure_ascii=False)
