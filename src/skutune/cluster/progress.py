"""The progress that workers write to the store: one small object per shard, read again only when it has changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from skutune.pipeline.manifests import Task
from skutune.store.base import NotFoundError, ObjectStore


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The latest progress of an attempt, summed over its shards."""

    done: float = 0.0
    total: float = 0.0
    unit: str = "items"
    rows: int = 0
    rejected: int = 0
    tokens_per_second: float = 0.0


class ProgressReader:
    """Reads the progress of attempts. `changed_at` maps a task's key to the time when its progress last changed."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._cached: dict[str, tuple[str, dict[str, Any]]] = {}
        self.changed_at: dict[str, float] = {}

    def read(self, task: Task, now: float) -> StageProgress:
        """The progress of a task. Lists its progress objects and reads those that have changed."""
        prefix = f"{task.folder}/progress-a{task.attempt}-"
        documents = []
        for info in self._store.list(prefix):
            version, document = self._cached.get(info.key, ("", {}))
            if version != info.version or not version:
                try:
                    document = json.loads(self._store.get(info.key))
                except NotFoundError:
                    continue
                self._cached[info.key] = (info.version, document)
                self.changed_at[task.key] = now
            documents.append(document)
        return _total(documents)

    def retain(self, tasks: list[Task]) -> None:
        """Drop the cached progress of all other tasks."""
        prefixes = tuple(f"{task.folder}/progress-a{task.attempt}-" for task in tasks)
        self._cached = {key: cached for key, cached in self._cached.items() if key.startswith(prefixes)}
        keys = {task.key for task in tasks}
        self.changed_at = {key: time for key, time in self.changed_at.items() if key in keys}


def _total(documents: list[dict[str, Any]]) -> StageProgress:
    timed = [document for document in documents if document["seconds"] > 0]
    generated = sum(document["completion_tokens"] / document["seconds"] for document in timed)
    trained = sum(document.get("trained_tokens_per_second", 0.0) for document in documents)
    return StageProgress(
        sum(document["done"] for document in documents),
        sum(document["total"] for document in documents),
        documents[0]["unit"] if documents else "items",
        sum(document["rows"] for document in documents),
        sum(document["rejected"] for document in documents),
        trained or generated,
    )
