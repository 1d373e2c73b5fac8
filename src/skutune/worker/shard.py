"""The state of one shard of a task: its entries, their cost, and progress reports.

The shard manifest is written after every part, so that a process that replaces a killed one resumes from it.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from skutune.pipeline import manifests
from skutune.pipeline.manifests import Entry, Manifest, Stats, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.stage_io import MODEL_VERSION
from skutune.process import watchdog
from skutune.process.progress import Listener, Progress, Throttle
from skutune.store.base import ObjectStore

_PACKAGES = ("skutune", "torch", "transformers", "vllm", "llguidance", "trl", "peft", "sentence-transformers")


@dataclass
class Shard:
    """A shard that is being run.

    `entries` and `stats` cover the parts in the manifest; `processed` includes parts in progress. `expected` is an
    estimate of the number of items. Progress is reported at most every `progress_seconds`, never if `is_silent`.
    """

    store: ObjectStore
    task: Task
    number: int
    listener: Listener
    progress_seconds: float
    is_silent: bool = False
    expected: float = 0
    entries: list[Entry] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    processed: Stats = field(default_factory=Stats)
    rows: int = 0
    rejected: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._throttle = Throttle(self.progress_seconds)

    @property
    def parts(self) -> tuple[int, ...]:
        """The parts assigned to this shard."""
        return self.task.shards[self.number]

    def resume(self, folder: StageFolder) -> Manifest | None:
        """Load what an earlier process of this shard has written; returns its manifest if no object is missing."""
        earlier = folder.read_shard(self.task.attempt, self.number)
        if earlier is None:
            return None
        kept = folder.without_missing_objects(earlier)
        self.entries, self.stats, self.processed = list(kept.entries), kept.stats, kept.stats
        self.rows, self.rejected = kept.rows(), kept.rejected()
        return kept if len(kept.entries) == len(earlier.entries) else None

    def write_manifest(self, figures: dict[str, Any] | None = None, buckets: int = 0) -> None:
        """Write the current shard manifest."""
        watchdog.heartbeat()
        manifests.write_shard_manifest(self.store, self.task, self.number, self._manifest(figures or {}, buckets))

    def report_progress(
        self,
        unit: str = "items",
        done: float | None = None,
        total: float | None = None,
        trained_tokens_per_second: float = 0.0,
    ) -> None:
        """Report progress, rate-limited to `progress_seconds`."""
        watchdog.heartbeat()
        if self.is_silent or not self._throttle.ready():
            return
        progress = Progress(
            self.task.stage,
            self.number,
            self.processed.items if done is None else done,
            self.expected if total is None else total,
            unit,
            self.rows,
            self.rejected,
            self.processed.completion_tokens,
            self._seconds(),
            trained_tokens_per_second,
        )
        self.listener(progress)
        name = f"{self.task.folder}/progress-a{self.task.attempt}-{self.number}.json"
        self.store.put(name, json.dumps({**asdict(progress), "time": time.time()}).encode())

    def _manifest(self, figures: dict[str, Any], buckets: int) -> Manifest:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Manifest(
            self.task.stage,
            self.task.fingerprint,
            buckets or self.task.buckets or 0,
            tuple(self.entries),
            self.stats.plus(Stats(seconds=time.monotonic() - self.started, peak_memory_bytes=memory)),
            figures,
            versions() | {MODEL_VERSION + role: identity for role, identity in self.task.models.items()},
        )

    def _seconds(self) -> float:
        """Elapsed time, including that of earlier processes."""
        return self.stats.seconds + time.monotonic() - self.started


def versions() -> dict[str, str]:
    """The versions of the packages in use; recorded in manifests, never part of a fingerprint."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
