"""Runs one shard of one task: reading, writing, reuse, resuming and counting, for every stage.

The same function runs on a laptop and in a pod. Each part is written atomically when it is complete, followed by the
shard manifest, so that a killed worker loses only the parts in its window.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from skutune import stages
from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.engines.pool import ModelPool
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.pipeline import graph, manifests
from skutune.pipeline.code_version import prompts_digest
from skutune.pipeline.manifests import Manifest, Stats, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.stage_io import Inputs, Outputs
from skutune.pipeline.user_files import checked_source
from skutune.process import accelerators
from skutune.process.launcher import SINGLE, ProcessGroup
from skutune.process.progress import Listener
from skutune.records import Product
from skutune.stages.base import Context, FitStage
from skutune.store import open_store
from skutune.store.base import ObjectStore
from skutune.training.checkpoint_store import Checkpoints
from skutune.worker.map_shard import MapShard
from skutune.worker.shard import Shard

PROGRESS_SECONDS = 1.0
P = ParamSpec("P")
Model = TypeVar("Model")


@dataclass(frozen=True)
class OpenTask:
    """A task with everything that is read from the store before it runs.

    `folder` is a snapshot of its output folder; `inputs` are the manifests of the stages that it reads.
    """

    store: ObjectStore
    task: Task
    config: Config
    folder: StageFolder
    inputs: Mapping[str, Manifest]


def open_task(uri: str) -> OpenTask:
    """Read the task of `<store>/<run>/<stage>/<fingerprint>/task-a<n>.json`.

    Raises:
        InputError: the URI is not that of a task, the task or its config is invalid, or an input is incomplete.
    """
    pieces = uri.rsplit("/", 4)
    if len(pieces) != 5 or not pieces[4].startswith("task-a"):
        raise InputError(f"--task {uri}: not the URI of a task; use <store>/<run>/<stage>/<fingerprint>/task-a<n>.json")
    store = open_store(pieces[0])
    task = manifests.read_task(store, "/".join(pieces[1:]))
    inputs = {}
    for name, folder in task.inputs.items():
        manifest = manifests.read_manifest(store, folder)
        if manifest is None:
            raise InputError(f"task {task.key}: the input stage {name} is incomplete; run the stages in order")
        inputs[name] = manifest
    config = parse_config(task.config, f"task {task.key}")
    return OpenTask(store, task, config, StageFolder.read(store, task.folder), inputs)


def run_shard(
    opened: OpenTask,
    shard: int,
    pool: ModelPool,
    listener: Listener = lambda progress: None,
    progress_seconds: float = PROGRESS_SECONDS,
    process_group: ProcessGroup = SINGLE,
) -> None:
    """Run one shard of a task, resuming from what an earlier process of this shard has written.

    Args:
        process_group: the place of this process in a distributed training; only rank 0 writes the results.

    Raises:
        InputError: the shard does not exist, or the fingerprint computed here differs from the submitter's.
        ShardError, RetryableError, DeviceError: see errors.
    """
    task = opened.task
    if not 0 <= shard < len(task.shards):
        raise InputError(f"--shard {shard}: out of range; the task has {len(task.shards)} shards")
    if opened.folder.manifest is not None:
        return
    scratch = Path(tempfile.mkdtemp(prefix="skutune-"))
    try:
        _check_fingerprint(opened, pool)
        work = Shard(opened.store, task, shard, listener, progress_seconds, is_silent=process_group.rank > 0)
        context = _context(opened, pool, scratch, work, process_group)
        with accelerators.translate_device_errors():
            _run(work, opened.folder, context)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fetch_models(opened: OpenTask, pool: ModelPool) -> None:
    """Download the weights of a task's models once, before several processes load them concurrently."""
    for role in graph.models_of(graph.CLUSTER_STAGES[opened.task.stage], opened.config):
        pool.weights(role)


def _run(work: Shard, folder: StageFolder, context: Context) -> None:
    task = work.task
    if graph.CLUSTER_STAGES[task.stage].kind == "map":
        work.expected = stages.expected_items(task.stage, context.config, context.inputs.manifests) * _share(work)
        MapShard(work, folder, lambda: stages.build_map(task.stage, context)).run()
    elif work.resume(folder) is None:  # None unless it was killed after it had completed
        _fit(work, stages.build_fit(task.stage, context, task.buckets))


def _fit(work: Shard, stage: FitStage) -> None:
    outputs = Outputs(work.store, work.task.folder, partial(_check_not_complete, work.store, work.task))
    stage.run(outputs)
    work.entries = outputs.entries
    work.stats = Stats(items=1)
    if not work.is_silent:
        work.write_manifest(outputs.figures, outputs.buckets)


def _check_not_complete(store: ObjectStore, task: Task) -> None:
    """A replaced worker may still be running; it must not overwrite the output of its replacement."""
    has_manifest = store.head(f"{task.folder}/manifest.json") is not None
    if has_manifest and StageFolder.read(store, task.folder).manifest is not None:
        raise RetryableError(f"task {task.key}: another worker has completed this stage; its output is kept")


def _check_fingerprint(opened: OpenTask, pool: ModelPool) -> None:
    """Reject a task of another version of skutune: its rows would get the same fingerprint."""
    task, config = opened.task, opened.config
    stage = graph.CLUSTER_STAGES[task.stage]
    models: dict[str, str] = {role: pool.identity(role) for role in graph.models_of(stage, config)}
    if stage is graph.MODELS:  # this stage determines the identities
        models = dict(task.models)
    computed = manifests.fingerprint(
        stage,
        config,
        prompts=prompts_digest(stage.name),
        models=models,
        inputs=opened.inputs,
        source=task.source,
    )
    if computed != task.fingerprint:
        raise InputError(
            f"task {task.key}: this worker computes another fingerprint, {computed}; use the version of skutune "
            "and the models of the submitter"
        )


def _context(opened: OpenTask, pool: ModelPool, scratch: Path, work: Shard, process_group: ProcessGroup) -> Context:
    task, config = opened.task, opened.config
    inputs = Inputs(opened.store, task.inputs, opened.inputs, scratch)

    def names() -> list[str]:
        if "ingest" not in inputs.manifests:
            return []
        return [product.name for product in inputs.rows("ingest", Product)]

    def base() -> Path:
        path = pool.weights("base").path
        if path is None:
            raise SkutuneError("the base model has no weights")
        pool.close()
        return path

    return Context(
        config=config,
        inputs=inputs,
        models=task.models,
        scratch=scratch,
        engine=_reported(work, "loading the generator", partial(pool.text_engine, names)),
        encoder=_reported(work, "loading the encoder", pool.encoder),
        base=base,
        source=partial(checked_source, config.catalog.source, task.source, scratch),
        checkpoints=Checkpoints(work.store, task.folder, process_group.rank, process_group.world_size),
        judge=_reported(work, "loading the judge", partial(pool.judge, names)),
        check_judge=pool.check_judge,
        report=work.report_progress,
        process_group=process_group,
    )


def _reported(work: Shard, activity: str, load: Callable[P, Model]) -> Callable[P, Model]:
    """The function, with a report of what the shard waits for before its first call."""
    is_loaded = False

    def load_reported(*arguments: P.args, **options: P.kwargs) -> Model:
        nonlocal is_loaded
        if not is_loaded:
            work.report_activity(activity)
        model = load(*arguments, **options)
        is_loaded = True
        return model

    return load_reported


def _share(work: Shard) -> float:
    """The fraction of a stage's items in this shard, assuming parts of equal size."""
    return len(work.parts) / max(1, work.task.buckets or 1)
