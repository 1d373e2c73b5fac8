"""A training's checkpoints in the store, beside its output but in no manifest: what a killed one goes on from.

Of several processes that train together each puts the files that it wrote. What the first wrote is for all of them;
what another wrote (a piece of the optimizer's state) is read by the process of its number alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from skutune.store.base import NotFoundError, ObjectStore

_STORED = "stored-"


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What may fit into memory: examples on a device at the same time, and whether activations must be recomputed."""

    micro_batch_size: int
    checkpointing: bool = False


class Checkpoints:
    """Folders `<stage folder>/checkpoints/<name>/<rank>/`; a marker a rank, written last, says that one is whole.

    Args:
        store: where they are.
        folder: of the stage.
        rank: which process this is.
        ranks: how many train together.
    """

    def __init__(self, store: ObjectStore, folder: str, rank: int = 0, ranks: int = 1) -> None:
        self._store, self._folder, self._prefix = store, folder, f"{folder}/checkpoints/"
        self._rank, self._ranks = rank, ranks

    def save(self, path: Path, name: str) -> None:
        """Put all files of a local folder, then remove those that a whole one follows.

        `name` ends in its step: `checkpoint-40`.
        """
        for found in sorted(path.rglob("*")):
            if found.is_file():
                key = f"{self._prefix}{name}/{self._rank}/{found.relative_to(path).as_posix()}"
                self._store.put_file(key, found)
        self._store.put(f"{self._prefix}{name}/{_STORED}{self._rank}-of-{self._ranks}", b"")
        if self._rank == 0:
            self._remove_older()

    def restore(self, path: Path) -> str | None:
        """Copy what this rank needs of the newest whole one into `path/<name>/`; its name, or None without one."""
        name = self._newest()
        if name is None:
            return None
        for rank in dict.fromkeys((0, self._rank)):
            prefix = f"{self._prefix}{name}/{rank}/"
            for info in list(self._store.list(prefix)):
                self._store.get_file(info.key, path / name / info.key.removeprefix(prefix))
        return name

    def clear(self) -> None:
        """Remove all of them: the stage is done."""
        for info in list(self._store.list(self._prefix)):
            self._store.delete(info.key)
        self._store.delete(self._limit_key)

    def limit_memory(self, limit: MemoryLimit) -> None:
        """Note for later starts of this training what may fit."""
        self._store.put(self._limit_key, json.dumps(asdict(limit)).encode())

    def memory_limit(self) -> MemoryLimit | None:
        """What an earlier start noted, or None."""
        try:
            return MemoryLimit(**json.loads(self._store.get(self._limit_key)))
        except NotFoundError:
            return None

    @property
    def _limit_key(self) -> str:
        return f"{self._folder}/micro-batch.json"

    def _newest(self) -> str | None:
        """The newest one that all ranks have put."""
        stored: dict[tuple[str, str], int] = defaultdict(int)
        for info in self._store.list(self._prefix):
            name, _, marker = info.key.removeprefix(self._prefix).partition("/")
            if marker.startswith(_STORED):
                stored[name, marker.rpartition("-")[2]] += 1
        whole = [name for (name, ranks), found in stored.items() if found == int(ranks)]
        return max(whole, key=_step, default=None)

    def _remove_older(self) -> None:
        newest = self._newest()
        for info in list(self._store.list(self._prefix)) if newest else []:
            if _step(info.key.removeprefix(self._prefix).split("/")[0]) < _step(newest or ""):
                self._store.delete(info.key)


def _step(name: str) -> int:
    return int(name.rpartition("-")[2])
