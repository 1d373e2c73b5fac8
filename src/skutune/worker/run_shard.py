"""One shard of one task: all reading, writing, reuse, resuming and counting, for every stage alike.

The same function runs in a laptop's process and in a pod. A part is put whole when its last row is there, and the
shard's manifest is put after it, so that a worker killed at any moment loses only what it had in its window.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

from skutune import stages
from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.engines.pool import ModelPool
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.pipeline import graph, manifests
from skutune.pipeline.code_version import prompts_digest
from skutune.pipeline.manifests import Stats, Task
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


def open_task(uri: str) -> tuple[ObjectStore, Task]:
    """The store and the task of `<store>/<run>/<stage>/<fingerprint>/task-a<n>.json`. Raises InputError."""
    pieces = uri.rsplit("/", 4)
    if len(pieces) != 5 or not pieces[4].startswith("task-a"):
        raise InputError(
            f"--task {uri}: is not the address of a task, <store>/<run>/<stage>/<fingerprint>/task-a1.json"
        )
    store = open_store(pieces[0])
    return store, manifests.read_task(store, "/".join(pieces[1:]))


def run_shard(
    store: ObjectStore,
    task: Task,
    shard: int,
    pool: ModelPool,
    listener: Listener = lambda progress: None,
    progress_seconds: float = PROGRESS_SECONDS,
    team: ProcessGroup = SINGLE,
) -> None:
    """Work one shard of a task to its end, going on from what an earlier process of this shard left.

    Args:
        team: which of the processes that train together this one is; only the first writes what comes out.

    Raises:
        InputError: the shard does not exist, an input is not complete, or this program would compute another
            fingerprint than the submitter did.
        ShardError, RetryableError, DeviceError: see errors.
    """
    if not 0 <= shard < len(task.shards):
        raise InputError(f"shard {shard} does not exist: the task has {len(task.shards)}")
    if manifests.load_if_complete(store, task.folder) is not None:
        return  # nothing is left to do, whoever did it
    config = parse_config(task.config, f"task {task.key}")
    scratch = Path(tempfile.mkdtemp(prefix="skutune-"))
    try:
        inputs = _inputs(store, task, scratch)
        _check_fingerprint(task, config, inputs, pool)
        work = Shard(store, task, shard, listener, progress_seconds, is_silent=team.rank > 0)
        context = _context(config, inputs, task, pool, scratch, work, team)
        with accelerators.translate_device_errors():
            _work(work, context)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fetch_models(task: Task, pool: ModelPool) -> None:
    """Have the weights of a task's models on this machine, before several processes look for them at the same time."""
    config = parse_config(task.config, f"task {task.key}")
    for role in graph.models_of(graph.CLUSTER_STAGES[task.stage], config):
        pool.weights(role)


def _work(work: Shard, context: Context) -> None:
    task = work.task
    if graph.CLUSTER_STAGES[task.stage].kind == "map":
        work.expected = stages.expected_items(task.stage, context.config, context.inputs.manifests) * _share(work)
        MapShard(work, lambda: stages.build_map(task.stage, context)).work()
    elif work.resume() is None:  # or it was killed after all was done
        _fit(work, stages.build_fit(task.stage, context, task.buckets))


def _fit(work: Shard, stage: FitStage) -> None:
    outputs = Outputs(work.store, work.task.folder, partial(_check_not_done, work.store, work.task))
    stage.run(outputs)
    work.entries = outputs.entries
    work.stats = Stats(items=1)
    if not work.is_silent:
        work.keep(outputs.figures, outputs.buckets)


def _check_not_done(store: ObjectStore, task: Task) -> None:
    """A worker that was given up may live on: what another one finished meanwhile, it must not write over."""
    if manifests.load_if_complete(store, task.folder) is not None:
        raise RetryableError(f"task {task.key}: another worker has finished this stage meanwhile; its output stays")


def _inputs(store: ObjectStore, task: Task, scratch: Path) -> Inputs:
    found = {}
    for name, folder in task.inputs.items():
        manifest = manifests.read_manifest(store, folder)
        if manifest is None:
            raise InputError(f"task {task.key}: its input {name} is not complete; submit the stages in order")
        found[name] = manifest
    return Inputs(store, task.inputs, found, scratch)


def _check_fingerprint(task: Task, config: Config, inputs: Inputs, pool: ModelPool) -> None:
    """A worker of another version would write other rows under the same name: refuse."""
    stage = graph.CLUSTER_STAGES[task.stage]
    used = graph.models_of(stage, config)
    models: dict[str, str] = {role: pool.identity(role) for role in used}
    if stage is graph.MODELS:  # only which roles it places; it is there to find out the identities
        models = dict(task.models)
    computed = manifests.fingerprint(
        stage,
        config,
        prompts=prompts_digest(stage.name),
        models=models,
        inputs=inputs.manifests,
        source=task.source,
    )
    if computed != task.fingerprint:
        raise InputError(
            f"task {task.key}: this worker would compute the fingerprint {computed}; it is of another version of "
            "skutune, or its models differ from the submitter's"
        )


def _context(
    config: Config, inputs: Inputs, task: Task, pool: ModelPool, scratch: Path, work: Shard, team: ProcessGroup
) -> Context:
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
        checkpoints=Checkpoints(work.store, task.folder, team.rank, team.ranks),
        judge=partial(pool.judge, names),
        check_judge=pool.check_judge,
        report=work.tell,
        team=team,
    )


def _share(work: Shard) -> float:
    """The share of a stage's items that are this shard's, taking parts as equal."""
    return len(work.parts) / max(1, work.task.buckets or 1)
