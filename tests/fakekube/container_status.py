"""Container states and conditions of a pod's status."""

from __future__ import annotations

from pathlib import Path
from signal import SIGKILL

from .clock import now
from .problems import Object

_MESSAGE_BYTES = 4096
_LOG_BYTES, _LOG_LINES = 2048, 80


def waiting(container: Object, reason: str, message: str = "") -> Object:
    state = {"reason": reason} | ({"message": message} if message else {})
    return _status(container, {"waiting": state}, running=False)


def running(container: Object, started: str, restarts: int = 0, last: Object | None = None) -> Object:
    return _status(container, {"running": {"startedAt": started}}, restarts, last, running=True)


def not_started(container: Object, message: str) -> Object:
    """A command that is not there."""
    ended = {"exitCode": 128, "reason": "StartError", "message": message, "startedAt": None, "finishedAt": now()}
    return _status(container, {"terminated": ended}, running=False)


def terminated(container: Object, returncode: int, started: str, restarts: int, message: str, oom: bool) -> Object:
    """An ended container; a death by signal n is exit code 128 + n."""
    code = returncode if returncode >= 0 else 128 - returncode
    killed_for_memory = oom and returncode == -SIGKILL
    reason = "OOMKilled" if killed_for_memory else "Completed" if code == 0 else "Error"
    ended = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now()}
    return _status(
        container, {"terminated": ended | ({"message": message} if message else {})}, restarts, running=False
    )


def _status(
    container: Object, state: Object, restarts: int = 0, last: Object | None = None, *, running: bool
) -> Object:
    status = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": restarts}
    return {**status, "lastState": last or {}, "started": running, "ready": running, "state": state}


def last_words(container: Object, returncode: int, log: Path, termination_log: Path) -> str:
    """The termination message: the file's, or the end of the log where the policy says so and the container failed."""
    if termination_log.exists() and (written := termination_log.read_text(errors="replace")):
        return written[-_MESSAGE_BYTES:]
    if returncode and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        lines = log.read_bytes()[-_LOG_BYTES:].decode(errors="replace").splitlines(keepends=True)
        return "".join(lines[-_LOG_LINES:])
    return ""


def conditions(phase: str, before: list[Object]) -> list[Object]:
    """The kubelet's conditions for a phase; others' stay."""
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase)
    ready, initialized = str(phase == "Running"), str(phase != "Pending")
    started = str(phase == "Running")
    told = {"PodReadyToStartContainers": started, "Initialized": initialized, "Ready": ready, "ContainersReady": ready}
    dated = {"lastProbeTime": None, "lastTransitionTime": now()}
    made = [{"type": kind, "status": status, **dated} for kind, status in told.items()]
    for one in made:
        if reason and (
            one["type"] in ("Ready", "ContainersReady") or (one["type"] == "Initialized" and phase == "Succeeded")
        ):
            one["reason"] = reason
    return [one for one in before if one["type"] not in told] + made
