"""One shard of one task: all reading, writing, reuse, resuming and counting, for every stage alike.

The same function runs in a laptop's process and in a pod. A part is put whole when its last row is there, and the
shard's manifest is put after it, so that a worker killed at any moment loses only what it had in its window.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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


@dataclass(frozen=True)
class OpenTask:
    """A task with everything that is read from the store before its work begins.

    `folder` is the task's own as one listing shows it; `inputs` are the manifests of the stages that it reads.
    """

    store: ObjectStore
    task: Task
    config: Config
    folder: StageFolder
    inputs: Mapping[str, Manifest]


def open_task(uri: str) -> OpenTask:
    """Read the task of `<store>/<run>/<stage>/<fingerprint>/task-a<n>.json`.

    Raises:
        InputError: the address is not a task's, the task or its config is damaged, or an input is not complete.
    """
    pieces = uri.rsplit("/", 4)
    if len(pieces) != 5 or not pieces[4].startswith("task-a"):
        raise InputError(
            f"--task {uri}: not the address of a task; write <store>/<run>/<stage>/<fingerprint>/task-a<n>.json"
        )
    store = open_store(pieces[0])
    task = manifests.read_task(store, "/".join(pieces[1:]))
    inputs = {}
    for name, folder in task.inputs.items():
        manifest = manifests.read_manifest(store, folder)
        if manifest is None:
            raise InputError(f"task {task.key}: its input {name} is not complete; submit the stages in order")
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
    """Run one shard of a task to its end, resuming what an earlier process of this shard left.

    Args:
        process_group: which of the processes that train together this one is; only the first writes the results.

    Raises:
        InputError: the shard does not exist, or this program would compute another fingerprint than the submitter did.
        ShardError, RetryableError, DeviceError: see errors.
    """
    task = opened.task
    if not 0 <= shard < len(task.shards):
        raise InputError(f"shard {shard} does not exist: the task has {len(task.shards)}")
    if opened.folder.manifest is not None:
        return
    scratch = Path(tempfile.mkdtemp(prefix="skutune-"))
    try:
        _check_fingerprint(opened, pool)
        work = Shard(opened.store, task, shard, listener, progress_seconds, is_silent=process_group.rank > 0)
        context = _context(opened, pool, scratch, work, process_group)
        with accelerators.translate_device_errors():
            _work(work, opened.folder, context)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fetch_models(opened: OpenTask, pool: ModelPool) -> None:
    """Download the weights of a task's models, before several processes look for them at the same time."""
    for role in graph.models_of(graph.CLUSTER_STAGES[opened.task.stage], opened.config):
        pool.weights(role)


def _work(work: Shard, folder: StageFolder, context: Context) -> None:
    task = work.task
    if graph.CLUSTER_STAGES[task.stage].kind == "map":
        work.expected = stages.expected_items(task.stage, context.config, context.inputs.manifests) * _share(work)
        MapShard(work, folder, lambda: stages.build_map(task.stage, context)).work()
    elif work.resume(folder) is None:  # or it was killed after all was done
        _fit(work, stages.build_fit(task.stage, context, task.buckets))


def _fit(work: Shard, stage: FitStage) -> None:
    outputs = Outputs(work.store, work.task.folder, partial(_check_not_done, work.store, work.task))
    stage.run(outputs)
    work.entries = outputs.entries
    work.stats = Stats(items=1)
    if not work.is_silent:
        work.keep(outputs.figures, outputs.buckets)


def _check_not_done(store: ObjectStore, task: Task) -> None:
    """A worker that was given up on may live on; it must not overwrite what another one has finished meanwhile."""
    has_manifest = store.head(f"{task.folder}/manifest.json") is not None
    if has_manifest and StageFolder.read(store, task.folder).manifest is not None:
        raise RetryableError(f"task {task.key}: another worker has finished this stage meanwhile; its output stays")


def _check_fingerprint(opened: OpenTask, pool: ModelPool) -> None:
    """Refuse a task of another version: its rows would be written under the same name."""
    task, config = opened.task, opened.config
    stage = graph.CLUSTER_STAGES[task.stage]
    models: dict[str, str] = {role: pool.identity(role) for role in graph.models_of(stage, config)}
    if stage is graph.MODELS:  # only which roles it places; it is there to find out the identities
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
            f"task {task.key}: this worker would compute the fingerprint {computed}; it is of another version of "
            "skutune, or its models differ from the submitter's"
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
        engine=partial(pool.text_engine, names),
        encoder=pool.encoder,
        base=base,
        source=partial(checked_source, config.catalog.source, task.source, scratch),
        checkpoints=Checkpoints(work.store, task.folder, process_group.rank, process_group.ranks),
        judge=partial(pool.judge, names),
        check_judge=pool.check_judge,
        report=work.tell,
        process_group=process_group,
    )


def _share(work: Shard) -> float:
    """The share of a stage's items that are this shard's, taking parts as equal."""
    return len(work.parts) / max(1, work.task.buckets or 1)
