"""Runs a shard of a map stage: items stream through the stage, and each part is written when it is complete.

Items of several parts are in flight at the same time, so that the engine's window does not drain at the end of a part.
A killed process loses only the parts in that window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from skutune.errors import InputError, ShardError
from skutune.pipeline import tables
from skutune.pipeline.manifests import Manifest, Stats
from skutune.pipeline.stage_folder import StageFolder
from skutune.process.progress import listening_to_tokens
from skutune.stages.base import ItemResult, MapStage, WorkItem
from skutune.stages.llm import LlmStage
from skutune.worker.shard import Shard

_log = logging.getLogger(__name__)


@dataclass
class _Part:
    """A part in progress: its item ids in order, the rows received so far, and their cost."""

    number: int
    order: list[str] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    submitted: bool = False

    @property
    def complete(self) -> bool:
        return self.submitted and len(self.rows) == len(self.order)


class MapShard:
    """Produces the missing parts of a shard. The stage is built only if there are any."""

    def __init__(self, shard: Shard, folder: StageFolder, build: Callable[[], MapStage]) -> None:
        self.shard, self.folder, self.build = shard, folder, build
        self.open_parts: dict[int, _Part] = {}
        self.part_of: dict[str, int] = {}

    def run(self) -> None:
        """Produce the missing parts. Raises ShardError if the stage does not return exactly the items that it took."""
        self.shard.resume(self.folder)
        self.shard.write_manifest()
        complete = {entry.part for entry in self.shard.entries}
        missing = [number for number in self.shard.parts if number not in complete]
        if missing:
            self._produce(missing)

    def _produce(self, parts: list[int]) -> None:
        self.stage = self.build()
        self.earlier_outputs = list(_reusable(self.shard))
        if isinstance(self.stage, LlmStage):
            self.shard.tokens_per_item = self.stage.sampling.max_tokens
        with listening_to_tokens(self.shard.report_tokens):
            for result in self.stage.rows(self._items(parts)):
                self._add_result(result)
        if self.open_parts:
            raise ShardError(f"{self.shard.task.stage}: the stage returned no rows for {len(self.part_of)} items")

    def _items(self, parts: list[int]) -> Iterator[WorkItem]:
        for number in parts:
            yield from self._items_of(number)

    def _items_of(self, number: int) -> Iterator[WorkItem]:
        part = self.open_parts[number] = _Part(number)
        items = list(self.stage.items(number))
        reusable = self._reusable_rows(number, items)
        for item in items:
            part.order.append(item.id)
            if item.key in reusable:
                rows = part.rows[item.id] = self.stage.refresh(item, reusable[item.key])
                self._count(part, rows, Stats(items=1, reused=1))
                continue
            if item.id in self.part_of:
                raise ShardError(f"{self.shard.task.stage}: two items have the id {item.id!r}")
            self.part_of[item.id] = number
            yield item
        part.submitted = True
        self._write_if_complete(part)

    def _reusable_rows(self, part: int, items: list[WorkItem]) -> dict[str, list[Any]]:
        """Rows of earlier outputs by key, except of failed items that have attempts left under this config."""
        keys = (item.key for item in items)
        rows_by_key = tables.rows_by_key(self.shard.store, self.earlier_outputs, self.stage.record, part, keys)
        return {key: rows for key, rows in rows_by_key.items() if not _has_attempts_left(rows, self.stage.attempts)}

    def _add_result(self, result: ItemResult) -> None:
        if not result.rows:
            raise ShardError(f"{self.shard.task.stage}: the stage returned no row for {result.item.id!r}")
        part = self.open_parts[self.part_of.pop(result.item.id)]
        part.rows[result.item.id] = result.rows
        self._count(part, result.rows, Stats(0, result.prompt_tokens, result.completion_tokens, 1))
        self._write_if_complete(part)
        self.shard.report_progress()

    def _count(self, part: _Part, rows: list[Any], stats: Stats) -> None:
        part.stats = part.stats.plus(stats)
        self.shard.processed = self.shard.processed.plus(stats)
        self.shard.rows += len(rows)
        self.shard.rejected += sum(1 for row in rows if getattr(row, "rejected", None) is not None)

    def _write_if_complete(self, part: _Part) -> None:
        if not part.complete:
            return
        rows = [row for item_id in part.order for row in part.rows[item_id]]
        entry = tables.write_part(self.shard.store, self.shard.task.folder, self.stage.record, part.number, rows)
        self.shard.entries.append(entry)
        self.shard.stats = self.shard.stats.plus(part.stats)
        self.shard.write_manifest()
        del self.open_parts[part.number]


def _reusable(shard: Shard) -> Iterator[tuple[str, Manifest]]:
    """Earlier outputs, complete or not. Parts only correspond if the number of buckets is the same."""
    for folder in shard.task.reuse:
        try:
            output = StageFolder.read(shard.store, folder)
            manifest = output.manifest or output.merge_shards("", 0)
        except InputError as error:  # another version; reuse is only an optimization
            _log.warning("cannot reuse %s: %s", folder, error)
            continue
        if manifest.buckets == shard.task.buckets:
            yield folder, manifest


def _has_attempts_left(rows: list[Any], attempts: int) -> bool:
    """Whether an item failed after fewer attempts than this config allows."""
    return all(getattr(row, "rejected", None) is not None and row.attempts < attempts for row in rows)
