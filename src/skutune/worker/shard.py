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
    estimate of the number of items, `tokens_per_item` of the tokens generated for each, until some are finished.
    `generated_tokens` includes those of unfinished items. Progress is reported at most every `progress_seconds`, never
    if `is_silent`.
    """

    store: ObjectStore
    task: Task
    number: int
    listener: Listener
    progress_seconds: float
    is_silent: bool = False
    expected: float = 0
    tokens_per_item: float = 0
    entries: list[Entry] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    processed: Stats = field(default_factory=Stats)
    rows: int = 0
    rejected: int = 0
    generated_tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._throttle = Throttle(self.progress_seconds)
        self._earlier = Stats()

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
        self._earlier = kept.stats
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
        if not self.is_silent and self._throttle.ready():
            self._report(unit, done, total, trained_tokens_per_second)

    def report_activity(self, activity: str) -> None:
        """Report at once what the shard waits for."""
        watchdog.heartbeat()
        if not self.is_silent:
            self._report(activity=activity)

    def report_tokens(self, count: int) -> None:
        """Count tokens of unfinished items, and report progress, rate-limited."""
        self.generated_tokens += count
        self.report_progress()

    def _report(
        self,
        unit: str = "items",
        done: float | None = None,
        total: float | None = None,
        trained_tokens_per_second: float = 0.0,
        activity: str = "",
    ) -> None:
        done = self._items_done() if done is None else done
        total = self.expected if total is None else total
        progress = Progress(
            self.task.stage,
            self.number,
            done,
            total,
            unit,
            self.rows,
            self.rejected,
            self._earlier.completion_tokens + max(self.generated_tokens, self._finished().completion_tokens),
            self._seconds(),
            trained_tokens_per_second,
            activity,
            self._seconds_left(done, total),
        )
        self.listener(progress)
        name = f"{self.task.folder}/progress-a{self.task.attempt}-{self.number}.json"
        self.store.put(name, json.dumps({**asdict(progress), "time": time.time()}).encode())

    def _finished(self) -> Stats:
        """The cost of the items that this process finished."""
        return Stats(
            items=self.processed.items - self._earlier.items,
            reused=self.processed.reused - self._earlier.reused,
            completion_tokens=self.processed.completion_tokens - self._earlier.completion_tokens,
        )

    def _items_done(self) -> float:
        """Finished items, and a fraction for the tokens of unfinished ones."""
        finished = self._finished()
        generated_items = finished.items - finished.reused
        per_item = finished.completion_tokens / generated_items if generated_items else self.tokens_per_item
        unfinished = max(0, self.generated_tokens - finished.completion_tokens)
        if not per_item:
            return self.processed.items
        # Items that finish first are shorter than those that are left, so these count for half at most.
        left = max(0.0, self.expected - self.processed.items)
        return self.processed.items + min(unfinished / per_item, left / 2)

    def _seconds_left(self, done: float, total: float) -> float | None:
        """From the pace of this process; None before it has done anything."""
        new = done - self._earlier.items if total == self.expected else done
        if new <= 0 or done >= total:
            return None
        return (time.monotonic() - self.started) * (total - done) / new

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
