"""From a config to the next task, and from shard manifests to a stage's own: what every submitter of stages does.

The local runner and the controller of a cluster differ in where shards run, and in nothing that is written here. The
controller is a small process, so nothing here loads a stage, an engine or a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from skutune.config import model_name
from skutune.config.schema import Config
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.hashing import content_key
from skutune.pipeline import graph, manifests, runs
from skutune.pipeline.code_version import prompts_digest
from skutune.pipeline.graph import Stage
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.store import open_store
from skutune.store.base import ObjectStore


def open_run(store: ObjectStore, config: Config, base: str | None) -> RunInfo:
    """The run's record, made or brought up to date with this config, and written.

    Args:
        base: a run whose rows are taken over where they can be; None keeps what the record names.

    Raises:
        InputError: the base run is missing, has not read its catalog, or has another number of buckets than the config
            asks for; or the record is of another version.
    """
    earlier = runs.load_run(store, config.run)
    if base is not None:
        base_run: RunInfo | None = runs.require_run(store, base)
        if base_run is None or base_run.buckets is None:
            raise InputError(f"base run {base!r}: has not read its catalog yet; let it finish, or name another one")
    else:  # the record's own base may have been removed since
        base = earlier.base if earlier else None
        base_run = runs.load_run(store, base) if base else None
    buckets = _buckets(config, base_run, earlier.buckets if earlier else None)
    done = dict(earlier.stages or {}) if earlier else {}
    info = RunInfo(config.run, config, base, buckets, done, earlier.owner if earlier else None, base_run)
    runs.save_run(store, info)
    return info


def plan_task(
    config: Config, info: RunInfo, stage: Stage, done: Mapping[str, Manifest], models: Mapping[str, str], source: str
) -> Task:
    """The stage's task without attempt, shards and reuse; its fingerprint says where the stage's output lies.

    Args:
        done: the manifests of the stages that are done, with all that this one reads.
        models: the identity of each model that the stage uses; more do no harm. For the models stage: the roles whose
            models it places, with nothing behind them.
        source: digest of the catalog for ingest, of prefixes for models; else "".
    """
    roles: Iterable[str] = models if stage is graph.MODELS else graph.models_of(stage, config)
    used = {role: models[role] for role in roles}
    inputs = {name: done[name] for name in stage.reads}
    fingerprint = manifests.fingerprint(
        stage, config, prompts=prompts_digest(stage.name), models=used, inputs=inputs, source=source
    )
    folders = {name: manifests.stage_folder(config.run, name, found.fingerprint) for name, found in inputs.items()}
    document = config.model_dump(mode="json")
    return Task(config.run, stage.name, fingerprint, 0, document, folders, (), info.buckets, (), used, source)


def missing_parts(folder: StageFolder, stage: Stage, buckets: int | None) -> list[int]:
    """The parts that no attempt has written, ascending; for a fit stage `[0]`, or none where an attempt is complete."""
    if stage.kind == "fit":
        return [] if folder.latest_complete else [0]
    if not buckets:  # an empty range of parts would count as done
        raise SkutuneError(f"{stage.name}: the run's record holds no number of buckets, which ingest fixes")
    written = folder.merged(stage.name, buckets).parts()
    return [part for part in range(buckets) if part not in written]


def next_attempt(
    folder: StageFolder,
    info: RunInfo,
    stage: Stage,
    task: Task,
    parts: Sequence[int],
    shards: int,
    submitter: str = "",
) -> Task:
    """The planned task as the next attempt: parts dealt to at most this many shards, earlier outputs named.

    Nothing is written.
    """
    width = min(shards, len(parts)) if stage.kind == "map" else 1
    return replace(
        task,
        attempt=folder.attempt + 1,
        shards=tuple(tuple(parts[shard::width]) for shard in range(width)),
        reuse=tuple(_reusable(folder.store, info, task)) if stage.kind == "map" else (),
        submitter=submitter,
    )


def merge_attempts(folder: StageFolder, stage: Stage, buckets: int | None) -> Manifest:
    """The stage's manifest, of everything that its attempts wrote. Nothing is written.

    The files of a fit stage belong together, so that the latest complete attempt counts.

    Raises:
        RetryableError: objects are missing.
    """
    if stage.kind == "fit":
        complete = folder.latest_complete
        if complete is None:
            raise RetryableError(
                f"{stage.name}: no attempt left all its objects in {folder.store.uri}/{folder.path}; run again"
            )
        return complete
    manifest = folder.merged(stage.name, buckets or 0)
    missing = (buckets or 0) - len(manifest.parts())
    if missing:
        raise RetryableError(
            f"{stage.name}: {missing} objects are missing in {folder.store.uri}/{folder.path}; run again"
        )
    return manifest


def record_done(store: ObjectStore, info: RunInfo, stage: Stage, task: Task, manifest: Manifest) -> RunInfo:
    """The run's record with this stage done; written where that is news. Ingest fixes the number of buckets."""
    buckets = manifest.buckets if stage.name == "ingest" else info.buckets
    if info.fingerprint(stage.name) == task.fingerprint and buckets == info.buckets:
        return info
    info = runs.with_stage(info, stage.name, task.fingerprint, buckets)
    runs.save_run(store, info)
    return info


def with_mirrored_models(config: Config, models: Manifest) -> tuple[Config, dict[str, str]]:
    """The config with the names that pods use, and the models' identities, from the manifest of the models stage."""
    found: dict[str, dict[str, str]] = models.figures["models"]
    changed = {
        role: getattr(config.models, role).model_copy(update={"name": each["name"], "revision": None})
        for role, each in found.items()
    }
    identities = {role: each["identity"] for role, each in found.items()}
    return config.model_copy(update={"models": config.models.model_copy(update=changed)}), identities


def models_source(config: Config) -> str:
    """What lies under the `s3://` prefixes of models: another digest once weights there were replaced.

    Raises:
        InputError, RetryableError: as the store.
    """
    listed = {}
    for role, model in config.models:
        if model is not None and model_name.is_prefix(model.name) and not model_name.is_scripted(model):
            found = open_store(model.name).list()
            listed[role] = [[item.key, item.size, item.version] for item in found]
    return content_key(listed) if listed else ""


def _buckets(config: Config, base: RunInfo | None, earlier: int | None) -> int | None:
    if base is None:
        return config.catalog.buckets or earlier
    if config.catalog.buckets not in (None, base.buckets):
        raise InputError(
            f"catalog.buckets is {config.catalog.buckets}, but the base run {base.run!r} has {base.buckets}: its rows "
            "cannot be reused; leave out catalog.buckets"
        )
    return earlier or base.buckets


def _reusable(store: ObjectStore, info: RunInfo, task: Task) -> list[str]:
    """Folders of earlier outputs of this stage, in this run and in the base run, best first."""
    found = []
    for run in (info.run, info.base):
        if run is None:
            continue
        record = info if run == info.run else info.base_run
        current = record.fingerprint(task.stage) if record else None
        names = store.folders(f"{run}/{task.stage}/")
        ordered = sorted(names, key=lambda name: (name != current, name))
        found += [f"{run}/{task.stage}/{name}" for name in ordered if (run, name) != (task.run, task.fingerprint)]
    return found
