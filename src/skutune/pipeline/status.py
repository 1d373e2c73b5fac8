"""The status of a run: the output of its stages, the progress of its workers, and whether its runner is alive."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest
from skutune.pipeline.runs import FORMAT_VERSION, RunInfo, lease_key
from skutune.pipeline.stage_folder import StageFolder
from skutune.store.base import NotFoundError, ObjectStore
from skutune.store.lease import is_held


@dataclass(frozen=True, slots=True)
class StageStatus:
    """The status of a stage. `state` is done, running, partial or waiting.

    Of a running stage, rows and tokens include those that are not written yet; `activity` is what its workers wait for,
    and `seconds_left` an estimate for the slowest of them.
    """

    stage: str
    state: str
    parts: int
    buckets: int
    rows: int
    rejected: int
    reused: int
    completion_tokens: int
    seconds: float
    waits_for: tuple[str, ...]
    tokens_per_second: float | None = None
    progress: tuple[dict[str, Any], ...] = ()
    activity: str = ""
    seconds_left: float | None = None


def stage_statuses(store: ObjectStore, info: RunInfo) -> list[StageStatus]:
    """The status of all stages of a run, from its manifests and the progress objects of its workers."""
    statuses: dict[str, StageStatus] = {}
    running = run_state(store, info.run).state == "running"
    for name, stage in STAGES.items():
        waits_for = tuple(each for each in stage.reads if statuses[each].state != "done")
        statuses[name] = _stage_status(store, info, name, waits_for, running)
    return list(statuses.values())


def _stage_status(
    store: ObjectStore, info: RunInfo, name: str, waits_for: tuple[str, ...], is_running: bool
) -> StageStatus:
    fingerprint = info.fingerprint(name)
    current = StageFolder.read(store, f"{info.run}/{name}/{fingerprint}") if fingerprint else None
    if current is not None and current.manifest is not None:
        return _summarize(name, "done", [current.manifest], info.buckets or 0, ())
    path = _folder_in_progress(store, info, name) if not waits_for else None
    if path is None:
        return StageStatus(name, "waiting", 0, info.buckets or 0, 0, 0, 0, 0, 0.0, waits_for)
    folder = StageFolder.read(store, path)
    shards = list(folder.shard_manifests.values())
    summary = _summarize(name, "running" if is_running else "partial", shards, info.buckets or 0, waits_for)
    progress = _progress(folder)
    if not is_running:
        return replace(summary, progress=progress)
    left = [each["seconds_left"] for each in progress if each.get("seconds_left") is not None]
    return replace(
        summary,
        progress=progress,
        rows=max(summary.rows, sum(each["rows"] for each in progress)),
        rejected=max(summary.rejected, sum(each["rejected"] for each in progress)),
        completion_tokens=max(summary.completion_tokens, sum(each["completion_tokens"] for each in progress)),
        tokens_per_second=_current_speed(progress) or summary.tokens_per_second,
        activity=", ".join(sorted({each.get("activity", "") for each in progress} - {""})),
        seconds_left=max(left, default=None),
    )


def _current_speed(progress: tuple[dict[str, Any], ...]) -> float:
    """The tokens per second of one worker, trained or generated."""
    trained = sum(each.get("trained_tokens_per_second", 0.0) for each in progress)
    generated = [each["completion_tokens"] / each["seconds"] for each in progress if each["seconds"] > 0]
    return trained or (sum(generated) / len(generated) if generated else 0.0)


def _progress(folder: StageFolder) -> tuple[dict[str, Any], ...]:
    """The last progress report of each shard of the latest attempt."""
    return tuple(json.loads(folder.store.get(key)) for key in folder.names(f"progress-a{folder.attempt}-"))


@dataclass(frozen=True, slots=True)
class RunState:
    """`state` is new, running, done, stopped, failed or killed (the runner has died); with the last message."""

    state: str
    message: str = ""


def run_state(store: ObjectStore, run: str) -> RunState:
    """The state of a run, from its status object and whether its lease is held."""
    document = load_status(store, run)
    state = str(document.get("state", "new"))
    if state == "running" and not is_held(store, lease_key(run)):
        return RunState("killed", "the runner has died; resume with `skutune run` and the same config")
    return RunState(state, str(document.get("message", "")))


def waiting_reasons(store: ObjectStore, run: str) -> list[str]:
    """Why stages are waiting or failed, according to the controller; empty for local runs."""
    stages = load_status(store, run).get("cluster", {}).get("stages", {})
    reasons = {
        name: stage["reason"] or stage["waiting"] for name, stage in stages.items() if stage["state"] != "blocked"
    }
    return [f"{name}: {reason}" for name, reason in reasons.items() if reason]


def load_status(store: ObjectStore, run: str) -> dict[str, Any]:
    """The status object of a run; empty before its first write."""
    try:
        document: dict[str, Any] = json.loads(store.get(f"{run}/status.json"))
    except (NotFoundError, json.JSONDecodeError):
        return {}
    return document


def _folder_in_progress(store: ObjectStore, info: RunInfo, name: str) -> str | None:
    """The folder that the runner last wrote to, according to its status object."""
    fingerprint = load_status(store, info.run).get("working", {}).get(name)
    return f"{info.run}/{name}/{fingerprint}" if fingerprint else None


def save_status(
    store: ObjectStore,
    run: str,
    state: str,
    working: Mapping[str, str],
    message: str = "",
    cluster: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `status.json` and return it.

    Args:
        state: running, done, failed or stopped.
        working: the fingerprint of the output of each stage in progress.
        message: shown to the user.
        cluster: the controller's view of its Jobs.
    """
    document: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "run": run,
        "state": state,
        "working": dict(working),
        "message": message,
        "time": time.time(),
    }
    if cluster is not None:
        document["cluster"] = dict(cluster)
    store.put(f"{run}/status.json", json.dumps(document, indent=1).encode())
    return document


def _summarize(
    name: str, state: str, manifests: list[Manifest], buckets: int, waits_for: tuple[str, ...]
) -> StageStatus:
    return StageStatus(
        stage=name,
        state=state,
        parts=len({part for manifest in manifests for part in manifest.parts()}),
        buckets=buckets if STAGES[name].kind == "map" else 0,
        rows=sum(manifest.rows() for manifest in manifests),
        rejected=sum(manifest.rejected() for manifest in manifests),
        reused=sum(manifest.stats.reused for manifest in manifests),
        completion_tokens=sum(manifest.stats.completion_tokens for manifest in manifests),
        seconds=sum(manifest.stats.seconds for manifest in manifests),
        waits_for=waits_for,
        tokens_per_second=_speed(manifests),
    )


def _speed(manifests: list[Manifest]) -> float | None:
    """The mean tokens per second of one worker."""
    speeds = [manifest.tokens_per_second for manifest in manifests if manifest.tokens_per_second]
    return sum(speeds) / len(speeds) if speeds else None
