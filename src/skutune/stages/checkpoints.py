"""A fit stage's checkpoints in the store, beside its output but in no manifest: what a killed training goes on from."""

from __future__ import annotations

from pathlib import Path

from skutune.store.base import ObjectStore

_MARKER = "stored"


class Checkpoints:
    """Folders under `<stage folder>/checkpoints/<name>/`; a marker written last says that one is whole."""

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store, self._prefix = store, f"{folder}/checkpoints/"

    def save(self, path: Path, name: str) -> None:
        """Put all files of a local folder, then remove older checkpoints. `name` ends in its step: `checkpoint-40`."""
        older = self._names()
        for found in sorted(path.rglob("*")):
            if found.is_file():
                self._store.put_file(f"{self._prefix}{name}/{found.relative_to(path).as_posix()}", found)
        self._store.put(f"{self._prefix}{name}/{_MARKER}", b"")
        for each in older - {name}:
            self._remove(each)

    def restore(self, path: Path) -> str | None:
        """Copy the newest whole checkpoint into `path/<name>/` and return its name, or None where there is none."""
        keys = [info.key for info in self._store.list(self._prefix)]
        whole = [name for name in self._names() if f"{self._prefix}{name}/{_MARKER}" in keys]
        if not whole:
            return None
        newest = max(whole, key=lambda name: int(name.rpartition("-")[2]))
        for key in keys:
            if key.startswith(f"{self._prefix}{newest}/") and not key.endswith(f"/{_MARKER}"):
                self._store.get_file(key, path / key.removeprefix(self._prefix))
        return newest

    def clear(self) -> None:
        """Remove all checkpoints: the stage is done."""
        for name in self._names():
            self._remove(name)

    def _names(self) -> set[str]:
        return {info.key.removeprefix(self._prefix).split("/")[0] for info in self._store.list(self._prefix)}

    def _remove(self, name: str) -> None:
        for info in list(self._store.list(f"{self._prefix}{name}/")):
            self._store.delete(info.key)
