"""Run records: `run.yaml` in the folder of each run, and `latest` in the root of the store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import yaml

from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.errors import InputError
from skutune.pipeline.graph import downstream
from skutune.pipeline.manifests import Manifest, read_manifest
from skutune.pipeline.stage_folder import StageFolder
from skutune.store.base import NotFoundError, ObjectStore

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The record of a run, as stored in `run.yaml`.

    `buckets` is fixed by the first ingest; `stages` maps each completed stage to its current fingerprint; `owner` is
    the Helm release that runs it on a cluster. `base_run` is the record of `base`, if the run was opened by a runner.
    """

    run: str
    config: Config
    base: str | None = None
    buckets: int | None = None
    stages: Mapping[str, str] | None = None
    owner: str | None = None
    base_run: RunInfo | None = field(default=None, compare=False)

    def fingerprint(self, stage: str) -> str | None:
        """The fingerprint of the current output of a stage, or None."""
        return (self.stages or {}).get(stage)


def load_run(store: ObjectStore, run: str) -> RunInfo | None:
    """The run of this name, or None. Raises InputError if its record is corrupt or of another version."""
    where = f"{store.uri}/{run}/run.yaml"
    try:
        document = yaml.safe_load(store.get(f"{run}/run.yaml"))
    except NotFoundError:
        return None
    except yaml.YAMLError:
        raise InputError(f"{where}: not valid YAML; restore it, or use another run name") from None
    if not isinstance(document, dict) or document.get("version") != FORMAT_VERSION:
        version = document.get("version") if isinstance(document, dict) else None
        raise InputError(
            f"{where}: this run was written by another version of skutune (format {version}, expected "
            f"{FORMAT_VERSION}); use that version, or another run name with --run"
        )
    config = parse_config(document["config"], where)
    fields = {name: document.get(name) for name in ("base", "buckets", "stages", "owner")}
    return RunInfo(run, config, **fields)


def require_run(store: ObjectStore, run: str) -> RunInfo:
    """The run of this name. Raises InputError with the existing runs."""
    info = load_run(store, run)
    if info is None:
        existing = ", ".join(list_runs(store)) or "none"
        raise InputError(f"no run {run!r} in {store.uri}; existing runs: {existing}")
    return info


def save_run(store: ObjectStore, info: RunInfo) -> None:
    """Write `run.yaml`."""
    document = {
        "version": FORMAT_VERSION,
        "run": info.run,
        "base": info.base,
        "owner": info.owner,
        "buckets": info.buckets,
        "stages": dict(info.stages or {}),
        "config": info.config.model_dump(mode="json"),
    }
    store.put(f"{info.run}/run.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())


def with_stage(info: RunInfo, stage: str, fingerprint: str, buckets: int | None) -> RunInfo:
    """The run with this stage completed. If its output changed, dependent stages are no longer current."""
    stages = dict(info.stages or {})
    if stages.get(stage, fingerprint) != fingerprint:
        stages = {name: current for name, current in stages.items() if name not in downstream([stage])}
    return replace(info, stages={**stages, stage: fingerprint}, buckets=buckets)


def list_runs(store: ObjectStore) -> list[str]:
    """The names of the runs in a store."""
    return sorted(name for name in store.folders() if store.head(f"{name}/run.yaml") is not None)


def stage_output(store: ObjectStore, info: RunInfo, stage: str) -> tuple[str, Manifest]:
    """The folder and manifest of a completed stage. Raises InputError if it is not complete."""
    fingerprint = info.fingerprint(stage)
    folder = f"{info.run}/{stage}/{fingerprint}"
    manifest = read_manifest(store, folder) if fingerprint else None
    if manifest is None:
        raise InputError(
            f"run {info.run!r}: stage {stage} is not complete; check `skutune status`, or resume with `skutune run` "
            "and the same config"
        )
    return folder, manifest


def stage_config(store: ObjectStore, info: RunInfo, stage: str) -> Config:
    """The config that produced a completed stage; that of the run may have changed since."""
    folder, _ = stage_output(store, info, stage)
    task = StageFolder.read(store, folder).task
    return parse_config(task.config, f"{store.uri}/{folder}") if task else info.config


def set_latest(store: ObjectStore, run: str) -> None:
    """Record the latest run that passed its quality gate."""
    store.put("latest", json.dumps({"run": run, "time": time.time()}).encode())


def latest(store: ObjectStore) -> str | None:
    """The latest run that passed its quality gate, or None."""
    try:
        return str(json.loads(store.get("latest"))["run"])
    except NotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"{store.uri}/latest: corrupt; delete it, or choose a run with --run") from None


def lease_key(run: str) -> str:
    """The key of the lease that prevents two runners on one run."""
    return f"{run}/lease.json"
