"""What a run's folder says of the run itself: `run.yaml`, `status.json`, and `latest` beside the runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from skutune import config as configuration
from skutune.config import Config
from skutune.errors import InputError
from skutune.graph import STAGES, downstream
from skutune.manifests import Manifest, complete, latest_task, read_manifest, read_shard_manifests
from skutune.store.base import NotFoundError, ObjectStore
from skutune.store.lease import is_held

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as `run.yaml` keeps it.

    `buckets` is fixed by the first ingest; `stages` maps each stage that is done to its current fingerprint; `owner`
    is the release that runs it on a cluster.
    """

    run: str
    config: Config
    base: str | None = None
    buckets: int | None = None
    stages: Mapping[str, str] | None = None
    owner: str | None = None

    def fingerprint(self, stage: str) -> str | None:
        """The current output of a stage, or None."""
        return (self.stages or {}).get(stage)


def load_run(store: ObjectStore, run: str) -> RunInfo | None:
    """The run of this name, or None. Raises InputError where its folder is of another version or damaged."""
    where = f"{store.uri}/{run}/run.yaml"
    try:
        document = yaml.safe_load(store.get(f"{run}/run.yaml"))
    except NotFoundError:
        return None
    except yaml.YAMLError:
        raise InputError(f"{where}: is not YAML; restore it, or use another run name") from None
    if not isinstance(document, dict) or document.get("version") != FORMAT_VERSION:
        found = document.get("version") if isinstance(document, dict) else None
        raise InputError(
            f"{where}: this run was written by another version of skutune (format {found}, here {FORMAT_VERSION}); "
            "use that version, or another run name with --run"
        )
    config = configuration.parse(document["config"], where)
    kept = {name: document.get(name) for name in ("base", "buckets", "stages", "owner")}
    return RunInfo(run, config, **kept)


def require_run(store: ObjectStore, run: str) -> RunInfo:
    """The run of this name. Raises InputError that lists the runs that are there."""
    info = load_run(store, run)
    if info is None:
        there = ", ".join(list_runs(store)) or "none"
        raise InputError(f"no run {run!r} in {store.uri}; runs there: {there}")
    return info


def save_run(store: ObjectStore, info: RunInfo) -> None:
    """Put `run.yaml`."""
    document = {
        "version": FORMAT_VERSION,
        "run": info.run,
        "base": info.base,
        "owner": info.owner,
        "buckets": info.buckets,
        "stages": dict(info.stages or {}),
        "config": json.loads(info.config.model_dump_json()),
    }
    store.put(f"{info.run}/run.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())


def with_stage(info: RunInfo, stage: str, fingerprint: str, buckets: int | None) -> RunInfo:
    """The run with one more stage done. What was made from another output of that stage is current no more."""
    stages = dict(info.stages or {})
    if stages.get(stage, fingerprint) != fingerprint:
        stages = {name: made for name, made in stages.items() if name not in downstream([stage])}
    return replace(info, stages={**stages, stage: fingerprint}, buckets=buckets)


def list_runs(store: ObjectStore) -> list[str]:
    """The names of the runs in a store."""
    return sorted(name for name in store.folders() if store.head(f"{name}/run.yaml") is not None)


def stage_output(store: ObjectStore, info: RunInfo, stage: str) -> tuple[str, Manifest]:
    """Folder and manifest of a stage that is done. Raises InputError where it is not."""
    fingerprint = info.fingerprint(stage)
    folder = f"{info.run}/{stage}/{fingerprint}"
    manifest = read_manifest(store, folder) if fingerprint else None
    if manifest is None:
        raise InputError(
            f"run {info.run!r} has not finished the stage {stage}; `skutune status` shows how far it is, and "
            "`skutune run` with the same config goes on"
        )
    return folder, manifest


def stage_config(store: ObjectStore, info: RunInfo, stage: str) -> Config:
    """The config that a finished stage was made with; the run's own may have changed since."""
    folder, _ = stage_output(store, info, stage)
    task = latest_task(store, folder)
    return configuration.parse(task.config, f"{store.uri}/{folder}") if task else info.config


def set_latest(store: ObjectStore, run: str) -> None:
    """Name the run that passed its gate last."""
    store.put("latest", json.dumps({"run": run, "time": time.time()}).encode())


def latest(store: ObjectStore) -> str | None:
    """The run that passed its gate last, or None."""
    try:
        return str(json.loads(store.get("latest"))["run"])
    except NotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"{store.uri}/latest: is damaged; delete it, or name a run with --run") from None


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


def status(store: ObjectStore, info: RunInfo) -> list[StageStatus]:
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
    manifest = complete(store, f"{info.run}/{name}/{fingerprint}") if fingerprint else None
    if manifest is not None:
        return _of_manifests(name, "done", [manifest], info.buckets or 0, ())
    folder = _working_folder(store, info, name) if not waits_for else None
    if folder is None:
        return StageStatus(name, "waiting", 0, info.buckets or 0, 0, 0, 0, 0, 0.0, waits_for)
    shards = read_shard_manifests(store, folder)
    shown = _of_manifests(name, "running" if is_running else "partial", shards, info.buckets or 0, waits_for)
    progress = _progress(store, folder)
    trained = sum(each.get("trained_per_second", 0.0) for each in progress)
    return replace(shown, progress=progress, tokens_per_second=trained or shown.tokens_per_second)


def _progress(store: ObjectStore, folder: str) -> tuple[dict[str, Any], ...]:
    """What the shards of the newest attempt last said."""
    task = latest_task(store, folder)
    if task is None:
        return ()
    found = store.list(f"{folder}/progress-a{task.attempt}-")
    return tuple(json.loads(store.get(info.key)) for info in found)


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


def lease_key(run: str) -> str:
    """Where the object lies that keeps two runners from one run."""
    return f"{run}/lease.json"


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
