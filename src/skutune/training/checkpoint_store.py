"""A training's checkpoints in the store, beside its output but in no manifest: a killed training resumes from them.

Each distributed process uploads the files that it wrote. Those of rank 0 are for all ranks; those of another rank (its
shard of the optimizer state) are only read by that rank.
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
    """What fits into memory: examples per device and forward pass, and whether gradient checkpointing is needed."""

    micro_batch_size: int
    checkpointing: bool = False


class Checkpoints:
    """Folders `<stage folder>/checkpoints/<name>/<rank>/`; a marker per rank, written last, says that it is complete.

    Args:
        store: where they are.
        folder: of the stage.
        rank: of this process.
        ranks: number of distributed processes.
    """

    def __init__(self, store: ObjectStore, folder: str, rank: int = 0, ranks: int = 1) -> None:
        self._store, self._folder, self._prefix = store, folder, f"{folder}/checkpoints/"
        self._rank, self._ranks = rank, ranks

    def save(self, path: Path, name: str) -> None:
        """Upload all files of a local folder, then remove older checkpoints if this one is complete.

        `name` ends in its step: `checkpoint-40`.
        """
        for file in sorted(path.rglob("*")):
            if file.is_file():
                key = f"{self._prefix}{name}/{self._rank}/{file.relative_to(path).as_posix()}"
                self._store.put_file(key, file)
        self._store.put(f"{self._prefix}{name}/{_STORED}{self._rank}-of-{self._ranks}", b"")
        if self._rank == 0:
            self._remove_older()

    def restore(self, path: Path) -> str | None:
        """Download this rank's files of the latest complete checkpoint to `path/<name>/`. Returns its name or None."""
        name = self._newest()
        if name is None:
            return None
        for rank in dict.fromkeys((0, self._rank)):
            prefix = f"{self._prefix}{name}/{rank}/"
            for info in list(self._store.list(prefix)):
                self._store.get_file(info.key, path / name / info.key.removeprefix(prefix))
        return name

    def clear(self) -> None:
        """Remove all checkpoints: the stage is done."""
        for info in list(self._store.list(self._prefix)):
            self._store.delete(info.key)
        self._store.delete(self._limit_key)

    def limit_memory(self, limit: MemoryLimit) -> None:
        """Record for later starts of this training what may fit."""
        self._store.put(self._limit_key, json.dumps(asdict(limit)).encode())

    def memory_limit(self) -> MemoryLimit | None:
        """The limit that an earlier start recorded, or None."""
        try:
            return MemoryLimit(**json.loads(self._store.get(self._limit_key)))
        except NotFoundError:
            return None

    @property
    def _limit_key(self) -> str:
        return f"{self._folder}/micro-batch.json"

    def _newest(self) -> str | None:
        """The latest checkpoint that all ranks have uploaded."""
        stored: dict[tuple[str, str], int] = defaultdict(int)
        for info in self._store.list(self._prefix):
            name, _, marker = info.key.removeprefix(self._prefix).partition("/")
            if marker.startswith(_STORED):
                stored[name, marker.rpartition("-")[2]] += 1
        complete = [name for (name, ranks), uploaded in stored.items() if uploaded == int(ranks)]
        return max(complete, key=_step, default=None)

    def _remove_older(self) -> None:
        newest = self._newest()
        for info in list(self._store.list(self._prefix)) if newest else []:
            if _step(info.key.removeprefix(self._prefix).split("/")[0]) < _step(newest or ""):
                self._store.delete(info.key)


def _step(name: str) -> int:
    return int(name.rpartition("-")[2])
