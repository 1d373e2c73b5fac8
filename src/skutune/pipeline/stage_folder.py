"""A snapshot of a stage's folder in the store, from one listing.

It answers whether the stage is complete, which parts are missing, and which attempt comes next. Objects that are
written later appear in the next snapshot only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from skutune.pipeline.manifests import Manifest, Task, merge, read_manifest, read_shard_manifest, read_task
from skutune.store.base import ObjectStore


@dataclass(frozen=True)
class StageFolder:
    """The objects in a stage's folder: `sizes` in bytes, by name relative to `path`."""

    store: ObjectStore
    path: str
    sizes: Mapping[str, int]

    @classmethod
    def read(cls, store: ObjectStore, path: str) -> StageFolder:
        """List the folder. Raises as the store."""
        return cls(store, path, {info.key.removeprefix(f"{path}/"): info.size for info in store.list(f"{path}/")})

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest, if it exists and no object that it lists is missing: the stage is complete.

        Raises:
            InputError: the manifest is corrupt or of another version.
        """
        manifest = read_manifest(self.store, self.path) if "manifest.json" in self.sizes else None
        return manifest if manifest is not None and self.has_all_objects(manifest) else None

    @property
    def attempt(self) -> int:
        """The number of the latest attempt; 0 if there is none."""
        return max((self._number(name, "task-a") for name in self.sizes), default=0)

    @property
    def task(self) -> Task | None:
        """The task of the latest attempt."""
        return read_task(self.store, f"{self.path}/task-a{self.attempt}.json") if self.attempt else None

    @cached_property
    def shard_manifests(self) -> dict[str, Manifest]:
        """The shard manifests of all attempts by key, without entries whose objects are missing."""
        return {
            key: self.without_missing_objects(read_shard_manifest(self.store, key)) for key in self.names("shard-a")
        }

    def read_shard(self, attempt: int, shard: int) -> Manifest | None:
        """The manifest of one shard, or None if it has not started."""
        name = f"shard-a{attempt}-{shard}.json"
        return read_shard_manifest(self.store, f"{self.path}/{name}") if name in self.sizes else None

    def without_missing_objects(self, manifest: Manifest) -> Manifest:
        """The manifest without entries whose object is missing or differs in size."""
        kept = tuple(entry for entry in manifest.entries if self.sizes.get(entry.name) == entry.bytes)
        return manifest if len(kept) == len(manifest.entries) else replace(manifest, entries=kept)

    def has_all_objects(self, manifest: Manifest) -> bool:
        """Whether every object that the manifest lists exists."""
        return self.without_missing_objects(manifest) is manifest

    def merge_shards(self, stage: str, buckets: int) -> Manifest:
        """One manifest of everything that the shards of all attempts have written."""
        return merge(stage, self.path.rpartition("/")[2], buckets, self.shard_manifests.values())

    def names(self, prefix: str) -> list[str]:
        """The store keys of the objects whose name starts with the prefix."""
        return [f"{self.path}/{name}" for name in self.sizes if name.startswith(prefix)]

    @cached_property
    def latest_complete(self) -> Manifest | None:
        """The shard manifest of the latest attempt that is not missing any object."""
        for attempt in range(self.attempt, 0, -1):
            for key in self.names(f"shard-a{attempt}-"):
                manifest = read_shard_manifest(self.store, key)
                if self.has_all_objects(manifest):
                    return manifest
        return None

    def _number(self, name: str, prefix: str) -> int:
        number = name.removeprefix(prefix).removesuffix(".json")
        return int(number) if name.startswith(prefix) and number.isdecimal() else 0
