"""Planning and submitting tasks, and merging their results: shared by the local runner and the cluster controller.

The two differ only in where shards run. The controller is a small process, so this module does not import stages,
engines or tables.
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
from skutune.pipeline.rejections import too_few_rows
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.store import open_store
from skutune.store.base import ObjectStore


def open_run(store: ObjectStore, config: Config, base: str | None) -> RunInfo:
    """Create the run record, or update it with this config, and save it.

    Args:
        base: a run whose rows are reused where possible; None keeps the recorded base.

    Raises:
        InputError: the base run does not exist, has not completed ingest, or has another number of buckets than the
            config; or the record is of another version.
    """
    earlier = runs.load_run(store, config.run)
    base_run: RunInfo | None
    if base is not None:
        base_run = runs.require_run(store, base)
        if base_run.buckets is None:
            raise InputError(f"base run {base!r}: ingest is not complete; let it finish, or choose another run")
    else:  # the recorded base may have been deleted since
        base = earlier.base if earlier else None
        base_run = runs.load_run(store, base) if base else None
    buckets = _buckets(config, base_run, earlier.buckets if earlier else None)
    stages = dict(earlier.stages or {}) if earlier else {}
    info = RunInfo(config.run, config, base, buckets, stages, earlier.owner if earlier else None, base_run)
    runs.save_run(store, info)
    return info


def plan_task(
    config: Config, info: RunInfo, stage: Stage, done: Mapping[str, Manifest], models: Mapping[str, str], source: str
) -> Task:
    """The task of a stage without attempt, shards and reuse; its fingerprint determines the output folder.

    Args:
        done: the manifests of completed stages, including all inputs of this one.
        models: the identity of each model that the stage uses; others are ignored. For the models stage: the roles
            whose models it mirrors, with empty identities.
        source: digest of the catalog for ingest, of the S3 prefixes for models; else "".
    """
    roles: Iterable[str] = models if stage is graph.MODELS else graph.models_of(stage, config)
    used = {role: models[role] for role in roles}
    inputs = {name: done[name] for name in stage.reads}
    fingerprint = manifests.fingerprint(
        stage, config, prompts=prompts_digest(stage.name), models=used, inputs=inputs, source=source
    )
    folders = {
        name: manifests.stage_folder(config.run, name, manifest.fingerprint) for name, manifest in inputs.items()
    }
    document = config.model_dump(mode="json")
    return Task(config.run, stage.name, fingerprint, 0, document, folders, (), info.buckets, (), used, source)


def missing_parts(folder: StageFolder, stage: Stage, buckets: int | None) -> list[int]:
    """The parts that no attempt has written, ascending. For a fit stage, `[0]` unless an attempt is complete."""
    if stage.kind == "fit":
        return [] if folder.latest_complete else [0]
    if not buckets:  # an empty range would make the stage complete
        raise SkutuneError(f"{stage.name}: the run record has no number of buckets; run ingest first")
    written = folder.merge_shards(stage.name, buckets).parts()
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
    """The next attempt of a planned task, with parts distributed over at most `shards` shards, and folders to reuse.

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
    """The manifest of a stage, merged from all attempts. Nothing is written.

    The files of a fit stage belong together, so only its latest complete attempt counts.

    Raises:
        RetryableError: parts are missing.
    """
    if stage.kind == "fit":
        complete = folder.latest_complete
        if complete is None:
            raise RetryableError(f"{stage.name}: no attempt is complete in {folder.store.uri}/{folder.path}; run again")
        return complete
    manifest = folder.merge_shards(stage.name, buckets or 0)
    missing = (buckets or 0) - len(manifest.parts())
    if missing:
        raise RetryableError(
            f"{stage.name}: {missing} parts are missing in {folder.store.uri}/{folder.path}; run again"
        )
    return manifest


def record_done(store: ObjectStore, info: RunInfo, stage: Stage, task: Task, manifest: Manifest) -> RunInfo:
    """Record a completed stage, and save the run record if it changed. Ingest fixes the number of buckets."""
    buckets = manifest.buckets if stage.name == "ingest" else info.buckets
    if info.fingerprint(stage.name) == task.fingerprint and buckets == info.buckets:
        return info
    info = runs.with_stage(info, stage.name, task.fingerprint, buckets)
    runs.save_run(store, info)
    return info


def check_rows(stage: Stage, config: Config, manifest: Manifest) -> None:
    """Raise InputError if a completed stage kept too few rows to go on (see `rejections.too_few_rows`)."""
    if (reason := too_few_rows(stage.name, config, manifest)) is not None:
        raise InputError(reason)


def with_mirrored_models(config: Config, models: Manifest) -> tuple[Config, dict[str, str]]:
    """The config with mirrored model names, and the identities of the models, from the models stage's manifest."""
    mirrored: dict[str, dict[str, str]] = models.figures["models"]
    changed = {
        role: getattr(config.models, role).model_copy(update={"name": model["name"], "revision": None})
        for role, model in mirrored.items()
    }
    identities = {role: model["identity"] for role, model in mirrored.items()}
    return config.model_copy(update={"models": config.models.model_copy(update=changed)}), identities


def models_source(config: Config) -> str:
    """A digest of the listings of `s3://` model prefixes, which changes when weights are replaced.

    Raises:
        InputError, RetryableError: as the store.
    """
    listings = {}
    for role, model in config.models:
        if model is not None and model_name.is_prefix(model.name) and not model_name.is_scripted(model):
            objects = open_store(model.name).list()
            listings[role] = [[item.key, item.size, item.version] for item in objects]
    return content_key(listings) if listings else ""


def _buckets(config: Config, base: RunInfo | None, earlier: int | None) -> int | None:
    if base is None:
        return config.catalog.buckets or earlier
    if config.catalog.buckets not in (None, base.buckets):
        raise InputError(
            f"catalog.buckets is {config.catalog.buckets}, but the base run {base.run!r} has {base.buckets}: its rows "
            "cannot be reused; remove catalog.buckets"
        )
    return earlier or base.buckets


def _reusable(store: ObjectStore, info: RunInfo, task: Task) -> list[str]:
    """Folders of earlier outputs of this stage, in this run and in the base run, best first."""
    folders = []
    for run in (info.run, info.base):
        if run is None:
            continue
        record = info if run == info.run else info.base_run
        current = record.fingerprint(task.stage) if record else None
        names = store.folders(f"{run}/{task.stage}/")
        ordered = sorted(names, key=lambda name: (name != current, name))
        folders += [f"{run}/{task.stage}/{name}" for name in ordered if (run, name) != (task.run, task.fingerprint)]
    return folders
