"""A stage's folder in the store, as one listing shows it.

Whoever decides about a stage lists its folder once and asks this snapshot: is the stage done, which parts are missing,
which attempt comes next. What is written afterwards shows in the next listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from skutune.pipeline.manifests import Manifest, Task, merge, read_manifest, read_shard_manifest, read_task
from skutune.store.base import ObjectStore


@dataclass(frozen=True)
class StageFolder:
    """The objects of one stage's folder: `sizes` in bytes by name, relative to `path`."""

    store: ObjectStore
    path: str
    sizes: Mapping[str, int]

    @classmethod
    def read(cls, store: ObjectStore, path: str) -> StageFolder:
        """List the folder. Raises as the store."""
        return cls(store, path, {info.key.removeprefix(f"{path}/"): info.size for info in store.list(f"{path}/")})

    @cached_property
    def manifest(self) -> Manifest | None:
        """The stage's manifest where the stage is done: it is there, and so is every object that it lists.

        Raises:
            InputError: the manifest is damaged or of another version.
        """
        found = read_manifest(self.store, self.path) if "manifest.json" in self.sizes else None
        return found if found is not None and self.holds(found) else None

    @property
    def attempt(self) -> int:
        """The highest attempt whose task is in the folder; 0 for none."""
        return max((self._number(name, "task-a") for name in self.sizes), default=0)

    @property
    def task(self) -> Task | None:
        """The task of the latest attempt."""
        return read_task(self.store, f"{self.path}/task-a{self.attempt}.json") if self.attempt else None

    @cached_property
    def shard_manifests(self) -> dict[str, Manifest]:
        """The manifests of all attempts' shards by key, without the entries whose objects are missing."""
        return {key: self.present(read_shard_manifest(self.store, key)) for key in self.names("shard-a")}

    def read_shard(self, attempt: int, shard: int) -> Manifest | None:
        """What one shard has written so far, as it lists it; None where it has not begun."""
        name = f"shard-a{attempt}-{shard}.json"
        return read_shard_manifest(self.store, f"{self.path}/{name}") if name in self.sizes else None

    def present(self, manifest: Manifest) -> Manifest:
        """The manifest without the entries whose object is missing or has another size."""
        kept = tuple(entry for entry in manifest.entries if self.sizes.get(entry.name) == entry.bytes)
        return manifest if len(kept) == len(manifest.entries) else replace(manifest, entries=kept)

    def holds(self, manifest: Manifest) -> bool:
        """Whether every object that the manifest lists is there."""
        return self.present(manifest) is manifest

    def merged(self, stage: str, buckets: int) -> Manifest:
        """One manifest of what the shards of all attempts have written."""
        return merge(stage, self.path.rpartition("/")[2], buckets, self.shard_manifests.values())

    def names(self, prefix: str) -> list[str]:
        """The keys of the objects whose name starts with the prefix, relative to the store."""
        return [f"{self.path}/{name}" for name in self.sizes if name.startswith(prefix)]

    @cached_property
    def latest_complete(self) -> Manifest | None:
        """The shard manifest of the latest attempt of which no object is missing."""
        for attempt in range(self.attempt, 0, -1):
            for key in self.names(f"shard-a{attempt}-"):
                found = read_shard_manifest(self.store, key)
                if self.holds(found):
                    return found
        return None

    def _number(self, name: str, prefix: str) -> int:
        number = name.removeprefix(prefix).removesuffix(".json")
        return int(number) if name.startswith(prefix) and number.isdecimal() else 0
