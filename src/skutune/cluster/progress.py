"""What workers say of themselves in the store: one small object a shard, read again only after it changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from skutune.pipeline.manifests import Task
from skutune.store.base import NotFoundError, ObjectStore


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The sum of what an attempt's shards last said."""

    done: float = 0.0
    total: float = 0.0
    unit: str = "items"
    rows: int = 0
    rejected: int = 0
    tokens_per_second: float = 0.0


class ProgressReader:
    """Reads the progress of attempts; `changed_at` tells when an attempt's was last seen to change."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._seen: dict[str, tuple[str, dict[str, Any]]] = {}
        self.changed_at: dict[str, float] = {}

    def read(self, task: Task, now: float) -> StageProgress:
        """The progress of a task's shards: one listing, and what changed since the last one."""
        prefix = f"{task.folder}/progress-a{task.attempt}-"
        documents = []
        for info in self._store.list(prefix):
            version, document = self._seen.get(info.key, ("", {}))
            if version != info.version or not version:
                try:
                    document = json.loads(self._store.get(info.key))
                except NotFoundError:
                    continue
                self._seen[info.key] = (info.version, document)
                self.changed_at[task.key] = now
            documents.append(document)
        return _summed(documents)

    def keep(self, tasks: list[Task]) -> None:
        """Forget all attempts but these, which still run."""
        prefixes = tuple(f"{task.folder}/progress-a{task.attempt}-" for task in tasks)
        self._seen = {key: known for key, known in self._seen.items() if key.startswith(prefixes)}
        keys = {task.key for task in tasks}
        self.changed_at = {key: time for key, time in self.changed_at.items() if key in keys}


def _summed(documents: list[dict[str, Any]]) -> StageProgress:
    generated = sum(each["completion_tokens"] / each["seconds"] for each in documents if each["seconds"] > 0)
    trained = sum(each.get("trained_tokens_per_second", 0.0) for each in documents)
    return StageProgress(
        sum(each["done"] for each in documents),
        sum(each["total"] for each in documents),
        documents[0]["unit"] if documents else "items",
        sum(each["rows"] for each in documents),
        sum(each["rejected"] for each in documents),
        trained or generated,
    )
