"""One shard of one task: all reading, writing, reuse, resuming and counting, for every stage alike.

The same function runs in a laptop's process and in a pod. A part is put whole when its last row is there, and the
shard's manifest is put after it, so that a worker killed at any moment loses only what it had in its window.
"""

from __future__ import annotations

import json
import logging
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from skutune import config as configuration
from skutune import graph, manifests, stages, tables
from skutune.engines.pool import ModelPool
from skutune.errors import InputError, ShardError, SkutuneError
from skutune.manifests import Entry, Manifest, Stats, Task
from skutune.progress import Listener, Progress, Throttle
from skutune.records import Product
from skutune.sources import checked_source
from skutune.stages.base import MODEL_VERSION, Context, FitStage, Inputs, Item, Made, MapStage, Outputs
from skutune.stages.checkpoints import Checkpoints
from skutune.store import open_store
from skutune.store.base import ObjectStore
from skutune.versions import prompts_digest

PROGRESS_SECONDS = 1.0
_log = logging.getLogger(__name__)


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
    store: ObjectStore, task: Task, shard: int, pool: ModelPool, listener: Listener = lambda progress: None
) -> None:
    """Work one shard of a task to its end.

    Raises:
        InputError: the shard does not exist, an input is not complete, or this program would compute another
            fingerprint than the submitter did.
        ShardError, RetryableError, DeviceError: see errors.
    """
    if not 0 <= shard < len(task.shards):
        raise InputError(f"shard {shard} does not exist: the task has {len(task.shards)}")
    config = configuration.parse(task.config, f"task {task.key}")
    scratch = Path(tempfile.mkdtemp(prefix="skutune-"))
    try:
        inputs = _inputs(store, task, scratch)
        _check_fingerprint(task, config, inputs, pool)
        run = _Run(store, task, shard, listener)
        context = _context(config, inputs, task, pool, scratch, run)
        if graph.CLUSTER_STAGES[task.stage].kind == "map":
            run.expected = stages.expected_items(task.stage, config, inputs.manifests) * _share(task, shard)
            _MapShard(run, stages.build_map(task.stage, context)).work()
        else:
            _fit(run, stages.build_fit(task.stage, context, task.buckets))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def versions() -> dict[str, str]:
    """The versions of what made a part; beside the parts, never in a fingerprint."""
    found = {"python": platform.python_version()}
    for package in ("skutune", "torch", "transformers", "vllm", "llguidance", "trl", "peft", "sentence-transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@dataclass
class _Run:
    """What one shard has made so far, and how it tells of it."""

    store: ObjectStore
    task: Task
    shard: int
    listener: Listener
    expected: float = 0
    entries: list[Entry] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    rows: int = 0
    rejected: int = 0
    started: float = field(default_factory=time.monotonic)
    throttle: Throttle = field(default_factory=lambda: Throttle(PROGRESS_SECONDS))

    def manifest(self, figures: dict[str, Any] | None = None, buckets: int = 0) -> Manifest:
        """The shard's manifest as it stands."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        stats = self.stats.plus(Stats(seconds=time.monotonic() - self.started, peak_memory_bytes=memory))
        return Manifest(
            self.task.stage,
            self.task.fingerprint,
            buckets or self.task.buckets or 0,
            tuple(self.entries),
            stats,
            figures or {},
            versions() | {MODEL_VERSION + role: identity for role, identity in self.task.models.items()},
        )

    def tell(self, unit: str = "items", done: float | None = None, total: float | None = None) -> None:
        """Tell of progress, at most once a second."""
        if not self.throttle.ready():
            return
        progress = Progress(
            self.task.stage,
            self.shard,
            self.stats.items if done is None else done,
            self.expected if total is None else total,
            unit,
            self.rows,
            self.rejected,
            self.stats.completion_tokens,
            time.monotonic() - self.started,
        )
        self.listener(progress)
        name = f"{self.task.folder}/progress-a{self.task.attempt}-{self.shard}.json"
        self.store.put(name, json.dumps({**asdict(progress), "time": time.time()}).encode())


@dataclass
class _Part:
    """A part that is being made: its items in order, and their rows as they come in."""

    number: int
    order: list[str] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    listed: bool = False

    @property
    def ready(self) -> bool:
        return self.listed and len(self.rows) == len(self.order)


class _MapShard:
    """Streams the items of a shard's parts through a stage and writes each part when its last row is there."""

    def __init__(self, run: _Run, stage: MapStage) -> None:
        self.run, self.stage = run, stage
        self.open: dict[int, _Part] = {}
        self.part_of: dict[str, int] = {}
        self.earlier = list(_reusable(run))

    def work(self) -> None:
        manifests.write_shard_manifest(self.run.store, self.run.task, self.run.shard, self.run.manifest())
        for made in self.stage.rows(self._items()):
            self._take(made)
        if self.open:
            raise ShardError(f"{self.run.task.stage}: {len(self.part_of)} items came back without rows")

    def _items(self) -> Iterator[Item]:
        for number in self.run.task.shards[self.run.shard]:
            part = self.open[number] = _Part(number)
            items = list(self.stage.items(number))
            known = self._known(number, items)
            for item in items:
                part.order.append(item.id)
                if item.key in known:
                    part.rows[item.id] = known[item.key]
                    self._count(known[item.key], Stats(items=1, reused=1))
                    continue
                if item.id in self.part_of:
                    raise ShardError(f"{self.run.task.stage}: two items have the id {item.id!r}")
                self.part_of[item.id] = number
                yield item
            part.listed = True
            self._close(part)

    def _known(self, part: int, items: list[Item]) -> dict[str, list[Any]]:
        """Rows that earlier outputs hold for these items, but for items that would now be tried more often."""
        wanted = (item.key for item in items)
        found = tables.rows_by_key(self.run.store, self.earlier, self.stage.record, part, wanted)
        return {key: rows for key, rows in found.items() if not _deserves_another_try(rows, self.stage.attempts)}

    def _take(self, made: Made) -> None:
        if not made.rows:
            raise ShardError(f"{self.run.task.stage}: no row for {made.item.id!r}")
        part = self.open[self.part_of.pop(made.item.id)]
        part.rows[made.item.id] = made.rows
        self._count(made.rows, Stats(0, made.prompt_tokens, made.completion_tokens, 1))
        self._close(part)
        self.run.tell()

    def _count(self, rows: list[Any], stats: Stats) -> None:
        self.run.stats = self.run.stats.plus(stats)
        self.run.rows += len(rows)
        self.run.rejected += sum(1 for row in rows if getattr(row, "rejected", None) is not None)

    def _close(self, part: _Part) -> None:
        if not part.ready:
            return
        rows = [row for item_id in part.order for row in part.rows[item_id]]
        entry = tables.write_part(self.run.store, self.run.task.folder, self.stage.record, part.number, rows)
        self.run.entries.append(entry)
        manifests.write_shard_manifest(self.run.store, self.run.task, self.run.shard, self.run.manifest())
        del self.open[part.number]


def _fit(run: _Run, stage: FitStage) -> None:
    outputs = Outputs(run.store, run.task.folder)
    stage.run(outputs)
    run.entries = outputs.entries
    run.stats = Stats(items=1)
    manifest = run.manifest(outputs.figures, outputs.buckets)
    manifests.write_shard_manifest(run.store, run.task, run.shard, manifest)


def _inputs(store: ObjectStore, task: Task, scratch: Path) -> Inputs:
    found = {}
    for name, folder in task.inputs.items():
        manifest = manifests.read_manifest(store, folder)
        if manifest is None:
            raise InputError(f"task {task.key}: its input {name} is not complete; submit the stages in order")
        found[name] = manifest
    return Inputs(store, task.inputs, found, scratch)


def _check_fingerprint(task: Task, config: configuration.Config, inputs: Inputs, pool: ModelPool) -> None:
    """A worker of another version would write other rows under the same name: refuse."""
    stage = graph.CLUSTER_STAGES[task.stage]
    computed = manifests.fingerprint(
        stage,
        config,
        prompts=prompts_digest(stage.name),
        models={role: pool.identity(role) for role in graph.models_of(stage, config)},
        inputs=inputs.manifests,
        source=task.source,
    )
    if computed != task.fingerprint:
        raise InputError(
            f"task {task.key}: this worker would compute the fingerprint {computed}; it is of another version of "
            "skutune, or its models differ from the submitter's"
        )


def _context(
    config: configuration.Config, inputs: Inputs, task: Task, pool: ModelPool, scratch: Path, run: _Run
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
        engine=lambda: pool.text_engine(names),
        encoder=pool.encoder,
        base=base,
        source=partial(checked_source, config.catalog.source, task.source, scratch),
        checkpoints=Checkpoints(run.store, task.folder),
        report=_reporter(run),
    )


def _reporter(run: _Run) -> Callable[[str, float, float], None]:
    return lambda unit, done, total: run.tell(unit, done, total)


def _reusable(run: _Run) -> Iterator[tuple[str, Manifest]]:
    """What earlier outputs hold, finished or not. Their parts are those of this task only with as many buckets."""
    for folder in run.task.reuse:
        try:
            whole = manifests.read_manifest(run.store, folder)
            found = manifests.present(run.store, folder, whole) if whole else manifests.made(run.store, folder, "", 0)
        except InputError as error:  # of another version: reuse only saves work
            _log.warning("%s is not reused: %s", folder, error)
            continue
        if found.buckets == run.task.buckets:
            yield folder, found


def _deserves_another_try(rows: list[Any], attempts: int) -> bool:
    """Whether an item failed after fewer tries than it would get now."""
    return all(getattr(row, "rejected", None) is not None and row.attempts < attempts for row in rows)


def _share(task: Task, shard: int) -> float:
    """The share of a stage's items that are this shard's, taking parts as equal."""
    return len(task.shards[shard]) / max(1, task.buckets or 1)
