"""How far a run is: what its stages have written, what its workers last reported, and whether its runner lives."""

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
    """One stage of a run as a person wants to see it. `state` is done, running, partial, or waiting."""

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


def stage_statuses(store: ObjectStore, info: RunInfo) -> list[StageStatus]:
    """All stages of a run, from its manifests and the progress objects of its workers."""
    found: dict[str, StageStatus] = {}
    running = run_state(store, info.run).state == "running"
    for name, stage in STAGES.items():
        waits_for = tuple(each for each in stage.reads if found[each].state != "done")
        found[name] = _stage_status(store, info, name, waits_for, running)
    return list(found.values())


def _stage_status(
    store: ObjectStore, info: RunInfo, name: str, waits_for: tuple[str, ...], is_running: bool
) -> StageStatus:
    fingerprint = info.fingerprint(name)
    current = StageFolder.read(store, f"{info.run}/{name}/{fingerprint}") if fingerprint else None
    if current is not None and current.manifest is not None:
        return _of_manifests(name, "done", [current.manifest], info.buckets or 0, ())
    path = _working_folder(store, info, name) if not waits_for else None
    if path is None:
        return StageStatus(name, "waiting", 0, info.buckets or 0, 0, 0, 0, 0, 0.0, waits_for)
    folder = StageFolder.read(store, path)
    shards = list(folder.shard_manifests.values())
    shown = _of_manifests(name, "running" if is_running else "partial", shards, info.buckets or 0, waits_for)
    progress = _progress(folder)
    trained = sum(each.get("trained_per_second", 0.0) for each in progress)
    return replace(shown, progress=progress, tokens_per_second=trained or shown.tokens_per_second)


def _progress(folder: StageFolder) -> tuple[dict[str, Any], ...]:
    """The latest progress of each shard of the latest attempt."""
    return tuple(json.loads(folder.store.get(key)) for key in folder.names(f"progress-a{folder.attempt}-"))


@dataclass(frozen=True, slots=True)
class RunState:
    """What a run does: running, done, stopped, failed, killed (its runner is gone) or new; and its last message."""

    state: str
    message: str = ""


def run_state(store: ObjectStore, run: str) -> RunState:
    """What a run does, from its own record and from whether its runner lives."""
    noted = _noted(store, run)
    state = str(noted.get("state", "new"))
    if state == "running" and not is_held(store, lease_key(run)):
        return RunState("killed", "its runner is gone; `skutune run` with the same config goes on")
    return RunState(state, str(noted.get("message", "")))


def waiting(store: ObjectStore, run: str) -> list[str]:
    """What a controller says of the stages that wait or failed, a sentence each; nothing for a run on one machine."""
    stages = _noted(store, run).get("cluster", {}).get("stages", {})
    said = {name: stage["reason"] or stage["waiting"] for name, stage in stages.items() if stage["state"] != "blocked"}
    return [f"{name}: {words}" for name, words in said.items() if words]


def _noted(store: ObjectStore, run: str) -> dict[str, Any]:
    try:
        noted: dict[str, Any] = json.loads(store.get(f"{run}/status.json"))
    except (NotFoundError, json.JSONDecodeError):
        return {}
    return noted


def _working_folder(store: ObjectStore, info: RunInfo, name: str) -> str | None:
    """The folder of the attempt that a runner wrote into last, as the run's own record says."""
    fingerprint = _noted(store, info.run).get("working", {}).get(name)
    return f"{info.run}/{name}/{fingerprint}" if fingerprint else None


def save_status(
    store: ObjectStore,
    run: str,
    state: str,
    working: Mapping[str, str],
    message: str = "",
    cluster: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put `status.json` and return it.

    Args:
        state: running, done, failed or stopped.
        working: which folder, by its fingerprint, each unfinished stage writes into.
        message: for a person.
        cluster: what a controller says of its Jobs.
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


def _of_manifests(
    name: str, state: str, listed: list[Manifest], buckets: int, waits_for: tuple[str, ...]
) -> StageStatus:
    return StageStatus(
        stage=name,
        state=state,
        parts=len({part for manifest in listed for part in manifest.parts()}),
        buckets=buckets if STAGES[name].kind == "map" else 0,
        rows=sum(manifest.rows() for manifest in listed),
        rejected=sum(manifest.rejected() for manifest in listed),
        reused=sum(manifest.stats.reused for manifest in listed),
        completion_tokens=sum(manifest.stats.completion_tokens for manifest in listed),
        seconds=sum(manifest.stats.seconds for manifest in listed),
        waits_for=waits_for,
        tokens_per_second=_speed(listed),
    )


def _speed(listed: list[Manifest]) -> float | None:
    """The tokens a second of one worker, on average."""
    speeds = [manifest.tokens_per_second for manifest in listed if manifest.tokens_per_second]
    return sum(speeds) / len(speeds) if speeds else None
