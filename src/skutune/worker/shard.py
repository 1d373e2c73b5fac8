"""What one shard of a task has made so far: its entries, what they cost, and how it tells of both.

A shard that was ended by whatever force goes on from here: its manifest is written after every part, so another process
that is given the same shard of the same task finds there what need not be made again.
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
    """One shard at work.

    `entries` and `stats` are of what is whole and listed; `seen` counts what is still in the window, too. `expected` is
    an estimate of all items, `progress_seconds` how often progress is told of at most; a silent one tells nobody.
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
    seen: Stats = field(default_factory=Stats)
    rows: int = 0
    rejected: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._throttle = Throttle(self.progress_seconds)

    @property
    def parts(self) -> tuple[int, ...]:
        """The parts that the task gives to this shard."""
        return self.task.shards[self.number]

    def resume(self, folder: StageFolder) -> Manifest | None:
        """Take over what an earlier process of this shard listed and the store still holds; None for a first one."""
        earlier = folder.read_shard(self.task.attempt, self.number)
        if earlier is None:
            return None
        kept = folder.present(earlier)
        self.entries, self.stats, self.seen = list(kept.entries), kept.stats, kept.stats
        self.rows, self.rejected = kept.rows(), kept.rejected()
        return kept if len(kept.entries) == len(earlier.entries) else None

    def keep(self, figures: dict[str, Any] | None = None, buckets: int = 0) -> None:
        """Put the shard's manifest as it stands."""
        watchdog.heartbeat()
        manifests.write_shard_manifest(self.store, self.task, self.number, self._manifest(figures or {}, buckets))

    def tell(
        self,
        unit: str = "items",
        done: float | None = None,
        total: float | None = None,
        trained_per_second: float = 0.0,
    ) -> None:
        """Tell of progress, at most as often as is wanted."""
        watchdog.heartbeat()
        if self.is_silent or not self._throttle.ready():
            return
        progress = Progress(
            self.task.stage,
            self.number,
            self.seen.items if done is None else done,
            self.expected if total is None else total,
            unit,
            self.rows,
            self.rejected,
            self.seen.completion_tokens,
            self._seconds(),
            trained_per_second,
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
        """Time spent, by earlier processes too."""
        return self.stats.seconds + time.monotonic() - self.started


def versions() -> dict[str, str]:
    """The versions of what made a part; beside the parts, never in a fingerprint."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
