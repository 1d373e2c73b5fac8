"""The inputs of a stage (tables and files of other stages) and its outputs (parts, files and metrics)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from skutune.errors import SkutuneError
from skutune.hashing import file_digest
from skutune.pipeline import tables
from skutune.pipeline.manifests import Entry, Manifest
from skutune.store.base import ObjectStore

Row = TypeVar("Row")


MODEL_VERSION = "model "
"""Prefix, before the role, of the keys in a manifest's versions that record the identity of model weights."""


class Inputs:
    """Tables, streamed part by part, and files of the stages that a stage reads."""

    def __init__(
        self, store: ObjectStore, folders: Mapping[str, str], manifests: Mapping[str, Manifest], scratch: Path
    ) -> None:
        self._store, self._folders, self._manifests, self._scratch = store, folders, manifests, scratch

    def manifest(self, stage: str) -> Manifest:
        """The manifest of an input stage."""
        return self._manifests[stage]

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """The manifests of all input stages."""
        return self._manifests

    def part_numbers(self, stage: str, table: str = "") -> list[int]:
        """The numbers of a table's parts, ascending."""
        return sorted(self._manifests[stage].parts(table))

    def part(self, stage: str, record: Callable[..., Row], part: int, table: str = "") -> Iterator[Row]:
        """The rows of one part; empty if there is no such part."""
        entry = self._manifests[stage].parts(table).get(part)
        if entry is None:
            return iter(())
        return tables.read_part(self._store, self._folders[stage], record, entry)

    def rows(self, stage: str, record: Callable[..., Row], table: str = "") -> Iterator[Row]:
        """The rows of all parts, in part order."""
        for part in self.part_numbers(stage, table):
            yield from self.part(stage, record, part, table)

    def file(self, stage: str, name: str) -> Path:
        """The local path of a stage's file, downloaded to the scratch folder once."""
        entry = self._manifests[stage].file(name)
        path = self._scratch / stage / self._manifests[stage].fingerprint / name
        if not path.exists():
            key = f"{self._folders[stage]}/{entry.name}"
            self._store.get_file(key, path)
            if file_digest(path) != entry.digest:
                path.unlink()
                raise tables.digest_mismatch(self._store, key)
        return path

    def folder(self, stage: str, prefix: str) -> Path:
        """All of a stage's files whose name starts with `prefix/`, as a local folder."""
        files = self._manifests[stage].files(f"{prefix}/")
        if not files:
            raise SkutuneError(f"{stage} wrote no folder {prefix!r}")
        return [self.file(stage, entry.table) for entry in files][-1].parents[files[-1].table.count("/") - 1]

    def json(self, stage: str, name: str) -> Any:
        """A stage's JSON file, parsed."""
        return json.loads(self.file(stage, name).read_text(encoding="utf-8"))


class Outputs:
    """Writes the tables, files and figures of a fit stage; `store` is for objects shared between runs.

    Unlike parts, files have fixed names that a second worker would overwrite: `before_file` is called before each file
    is written and may raise to prevent it.
    """

    def __init__(self, store: ObjectStore, folder: str, before_file: Callable[[], None] = lambda: None) -> None:
        self.store, self._folder, self._before_file = store, folder, before_file
        self.entries: list[Entry] = []
        self.figures: dict[str, Any] = {}
        self.buckets = 0

    def part(self, record: type, part: int, rows: list[Any], table: str = "") -> None:
        """Write one part of a table."""
        self.entries.append(tables.write_part(self.store, self._folder, record, part, rows, table))

    def arrow_part(self, part: int, table: Any, name: str = "") -> None:
        """Write one part from an Arrow table."""
        data = tables.encode_arrow(table)
        self.entries.append(tables.put_part(self.store, self._folder, part, data, table.num_rows, Counter(), name))

    def file(self, name: str, path: Path) -> None:
        """Write one file under this name."""
        self._before_file()
        self.store.put_file(f"{self._folder}/{name}", path)
        self.entries.append(Entry(name, -1, name, 0, 0, path.stat().st_size, file_digest(path)))

    def publish(self, name: str, path: Path) -> None:
        """Write a copy of a file to the run folder under a well-known name. It is not part of the manifest."""
        self.store.put_file(f"{self._folder.split('/')[0]}/{name}", path)

    def folder(self, prefix: str, path: Path) -> None:
        """Write all files in a local folder under `prefix/`."""
        for file in sorted(path.rglob("*")):
            if file.is_file():
                self.file(f"{prefix}/{file.relative_to(path).as_posix()}", file)
