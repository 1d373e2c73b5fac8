"""A shard of a map stage: items stream through the stage, and each part is put when its last row is there.

Items of several parts are under way at the same time, so that an engine's window never runs dry at a part's end. A
process killed at any moment loses only what is in that window.
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
from skutune.stages.base import ItemResult, MapStage, WorkItem
from skutune.worker.shard import Shard

_log = logging.getLogger(__name__)


@dataclass
class _Part:
    """A part that is being made: its items in order, their rows as they come in, and what they cost."""

    number: int
    order: list[str] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    listed: bool = False

    @property
    def ready(self) -> bool:
        return self.listed and len(self.rows) == len(self.order)


class MapShard:
    """Makes the parts of a shard that an earlier process of it did not leave; the stage is built only for these."""

    def __init__(self, shard: Shard, folder: StageFolder, build: Callable[[], MapStage]) -> None:
        self.shard, self.folder, self.build = shard, folder, build
        self.open: dict[int, _Part] = {}
        self.part_of: dict[str, int] = {}

    def work(self) -> None:
        """Make them. Raises ShardError where the stage gives back other items than it took."""
        self.shard.resume(self.folder)
        self.shard.keep()
        made = {entry.part for entry in self.shard.entries}
        missing = [number for number in self.shard.parts if number not in made]
        if missing:
            self._make(missing)

    def _make(self, parts: list[int]) -> None:
        self.stage = self.build()
        self.earlier = list(_reusable(self.shard))
        for made in self.stage.rows(self._items(parts)):
            self._take(made)
        if self.open:
            raise ShardError(f"{self.shard.task.stage}: {len(self.part_of)} items came back without rows")

    def _items(self, parts: list[int]) -> Iterator[WorkItem]:
        for number in parts:
            yield from self._items_of(number)

    def _items_of(self, number: int) -> Iterator[WorkItem]:
        part = self.open[number] = _Part(number)
        items = list(self.stage.items(number))
        known = self._known(number, items)
        for item in items:
            part.order.append(item.id)
            if item.key in known:
                rows = part.rows[item.id] = self.stage.refresh(item, known[item.key])
                self._count(part, rows, Stats(items=1, reused=1))
                continue
            if item.id in self.part_of:
                raise ShardError(f"{self.shard.task.stage}: two items have the id {item.id!r}")
            self.part_of[item.id] = number
            yield item
        part.listed = True
        self._close(part)

    def _known(self, part: int, items: list[WorkItem]) -> dict[str, list[Any]]:
        """Rows that earlier outputs hold for these items, but for items that would now be tried more often."""
        wanted = (item.key for item in items)
        found = tables.rows_by_key(self.shard.store, self.earlier, self.stage.record, part, wanted)
        return {key: rows for key, rows in found.items() if not _deserves_another_try(rows, self.stage.attempts)}

    def _take(self, made: ItemResult) -> None:
        if not made.rows:
            raise ShardError(f"{self.shard.task.stage}: no row for {made.item.id!r}")
        part = self.open[self.part_of.pop(made.item.id)]
        part.rows[made.item.id] = made.rows
        self._count(part, made.rows, Stats(0, made.prompt_tokens, made.completion_tokens, 1))
        self._close(part)
        self.shard.tell()

    def _count(self, part: _Part, rows: list[Any], stats: Stats) -> None:
        part.stats = part.stats.plus(stats)
        self.shard.seen = self.shard.seen.plus(stats)
        self.shard.rows += len(rows)
        self.shard.rejected += sum(1 for row in rows if getattr(row, "rejected", None) is not None)

    def _close(self, part: _Part) -> None:
        if not part.ready:
            return
        rows = [row for item_id in part.order for row in part.rows[item_id]]
        entry = tables.write_part(self.shard.store, self.shard.task.folder, self.stage.record, part.number, rows)
        self.shard.entries.append(entry)
        self.shard.stats = self.shard.stats.plus(part.stats)
        self.shard.keep()
        del self.open[part.number]


def _reusable(shard: Shard) -> Iterator[tuple[str, Manifest]]:
    """What earlier outputs hold, finished or not. Their parts are those of this task only with as many buckets."""
    for folder in shard.task.reuse:
        try:
            listed = StageFolder.read(shard.store, folder)
            found = listed.manifest or listed.merged("", 0)
        except InputError as error:  # of another version: reuse only saves work
            _log.warning("%s is not reused: %s", folder, error)
            continue
        if found.buckets == shard.task.buckets:
            yield folder, found


def _deserves_another_try(rows: list[Any], attempts: int) -> bool:
    """Whether an item failed after fewer tries than it would get now."""
    return all(getattr(row, "rejected", None) is not None and row.attempts < attempts for row in rows)
