"""Fingerprints, tasks and manifests: the specification of a stage's work, and the record of its output.

The output of a stage is in `<run>/<stage>/<fingerprint>/`. The submitter writes `task-a<n>.json` there. Each shard
rewrites its manifest `shard-a<n>-<shard>.json` after every part, so that a killed worker loses only the parts in
progress. When all parts exist, the submitter merges the shard manifests into `manifest.json`. Only objects listed in a
manifest exist for readers. This module does not read tables, so that the controller does not import pyarrow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skutune.config.schema import Config
from skutune.errors import InputError, SkutuneError
from skutune.hashing import content_key
from skutune.pipeline.graph import Stage, settings
from skutune.store.base import NotFoundError, ObjectStore

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a stage: part `part` of a table, or a file (part -1). `name` is relative to the stage's folder.

    `reasons` counts the rejected rows by kind of reason; rare kinds are missing.
    """

    table: str
    part: int
    name: str
    rows: int
    rejected: int
    bytes: int
    digest: str
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stats:
    """The cost of the work. Never part of a fingerprint."""

    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    items: int = 0
    reused: int = 0
    peak_memory_bytes: int = 0

    def plus(self, other: Stats) -> Stats:
        """The sum of both costs, with the maximum of the peak memory, which is per process."""
        return Stats(
            self.seconds + other.seconds,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.items + other.items,
            self.reused + other.reused,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The objects in a stage's folder; `figures` are the metrics of the stage (accuracies, counts)."""

    stage: str
    fingerprint: str
    buckets: int
    entries: tuple[Entry, ...]
    stats: Stats = Stats()
    figures: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def parts(self, table: str = "") -> dict[int, Entry]:
        """The parts of a table by number; if two workers wrote the same part, the first one listed counts."""
        parts: dict[int, Entry] = {}
        for entry in self.entries:
            if entry.table == table and entry.part >= 0:
                parts.setdefault(entry.part, entry)
        return parts

    def file(self, name: str) -> Entry:
        """The entry of a file. Raises SkutuneError if the stage wrote no such file."""
        for entry in self.entries:
            if entry.part < 0 and entry.table == name:
                return entry
        raise SkutuneError(f"{self.stage} wrote no file {name!r}")

    def files(self, prefix: str = "") -> list[Entry]:
        """The entries of the files whose name starts with the prefix."""
        return [entry for entry in self.entries if entry.part < 0 and entry.table.startswith(prefix)]

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second that one worker generated, or that a training processed; None for other stages."""
        if self.stats.completion_tokens and self.stats.seconds:
            return self.stats.completion_tokens / self.stats.seconds
        return self.figures.get("tokens_per_second")

    def rows(self, table: str = "") -> int:
        """Rows of a table, rejected ones included."""
        return sum(entry.rows for entry in self.parts(table).values())

    def rejected(self, table: str = "") -> int:
        """Rejected rows of a table."""
        return sum(entry.rejected for entry in self.parts(table).values())

    def reasons(self, table: str = "") -> Counter[str]:
        """Rejected rows of a table by kind of reason."""
        counts: Counter[str] = Counter()
        for entry in self.parts(table).values():
            counts.update(entry.reasons)
        return counts

    def digests(self) -> list[str]:
        """The name and digest of every object in a fixed order, for the fingerprints of dependent stages."""
        digests = {(e.table, e.part): e.digest for e in reversed(self.entries)}
        return [f"{table}/{part}:{digest}" for (table, part), digest in sorted(digests.items())]


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at a stage, as the submitter (local runner or controller) writes it and workers read it.

    `inputs` maps each input stage to its folder; `reuse` lists folders of the same stage whose rows may be reused by
    key, best first; `shards[i]` are the parts of shard i; `models` are the identities of the models' weights;
    `submitter` identifies who runs the task (on a cluster, the name of the Job).
    """

    run: str
    stage: str
    fingerprint: str
    attempt: int
    config: dict[str, Any]
    inputs: dict[str, str]
    reuse: tuple[str, ...]
    buckets: int | None
    shards: tuple[tuple[int, ...], ...]
    models: dict[str, str]
    source: str = ""
    submitter: str = ""

    @property
    def folder(self) -> str:
        """The key prefix of the stage's output, without a trailing slash."""
        return stage_folder(self.run, self.stage, self.fingerprint)

    @property
    def key(self) -> str:
        """The key of the task itself."""
        return f"{self.folder}/task-a{self.attempt}.json"


def stage_folder(run: str, stage: str, fingerprint: str) -> str:
    """The key prefix of a stage's output."""
    return f"{run}/{stage}/{fingerprint}"


def fingerprint(
    stage: Stage,
    config: Config,
    *,
    prompts: str,
    models: Mapping[str, str],
    inputs: Mapping[str, Manifest],
    source: str = "",
) -> str:
    """A digest of everything that a stage's output depends on, as 16 hexadecimal digits.

    Args:
        prompts: digest of the stage's prompts and code version.
        models: identity of the weights of each model that the stage uses.
        inputs: the manifests of the input stages.
        source: digest of the catalog file, for ingest.
    """
    return content_key(
        {
            "stage": stage.name,
            "settings": settings(stage, config),
            "prompts": prompts,
            "models": dict(models),
            "inputs": {name: manifest.digests() for name, manifest in inputs.items()},
            "source": source,
        }
    )[:16]


def write_task(store: ObjectStore, task: Task) -> None:
    """Write a task to its key."""
    store.put(task.key, _dump(asdict(task)))


def read_task(store: ObjectStore, key: str) -> Task:
    """Read a task. Raises InputError if it does not exist or is of another version."""
    try:
        document = _load(store, key, "task")
        document["shards"] = tuple(tuple(parts) for parts in document["shards"])
        document["reuse"] = tuple(document["reuse"])
        return Task(**document)
    except NotFoundError:
        raise InputError(
            f"{store.uri}/{key}: no such task; tasks are written by `skutune run` and the controller"
        ) from None
    except (KeyError, TypeError):
        raise InputError(f"{store.uri}/{key}: not a task of this version of skutune; use another run name") from None


def write_manifest(store: ObjectStore, folder: str, manifest: Manifest) -> None:
    """Write the merged manifest, which completes the stage."""
    store.put(f"{folder}/manifest.json", _dump(asdict(manifest)))


def read_manifest(store: ObjectStore, folder: str) -> Manifest | None:
    """The merged manifest of a folder, or None."""
    try:
        return _manifest(_load(store, f"{folder}/manifest.json", "manifest"))
    except NotFoundError:
        return None


def write_shard_manifest(store: ObjectStore, task: Task, shard: int, manifest: Manifest) -> None:
    """Write the manifest of what a shard has written so far."""
    store.put(_shard_key(task, shard), _dump(asdict(manifest)))


def read_shard_manifest(store: ObjectStore, key: str) -> Manifest:
    """The shard manifest under this key. Raises InputError if it is corrupt or of another version."""
    return _manifest(_load(store, key, "manifest"))


def merge(stage: str, fingerprint_: str, buckets: int, manifests: Iterable[Manifest]) -> Manifest:
    """Merge manifests; of two entries for the same object the first one is kept."""
    entries: dict[tuple[str, int], Entry] = {}
    stats = Stats()
    figures: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for manifest in manifests:
        for entry in manifest.entries:
            entries.setdefault((entry.table, entry.part), entry)
        stats = stats.plus(manifest.stats)
        figures = {**figures, **manifest.figures}
        versions = {**versions, **manifest.versions}
        buckets = manifest.buckets or buckets
    ordered = tuple(entries[key] for key in sorted(entries))
    return Manifest(stage, fingerprint_, buckets, ordered, stats, figures, versions)


def _shard_key(task: Task, shard: int) -> str:
    return f"{task.folder}/shard-a{task.attempt}-{shard}.json"


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps({"version": FORMAT_VERSION, **document}, ensure_ascii=False, indent=1).encode()


def _load(store: ObjectStore, key: str, kind: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(store.get(key))
    except json.JSONDecodeError:
        raise InputError(f"{store.uri}/{key}: not a {kind}: invalid JSON; delete it and run again") from None
    if document.pop("version", None) != FORMAT_VERSION:
        raise InputError(
            f"{store.uri}/{key}: this {kind} was written by another version of skutune; "
            "use that version, or another run name"
        )
    return document


def _manifest(document: dict[str, Any]) -> Manifest:
    document["entries"] = tuple(Entry(**entry) for entry in document["entries"])
    document["stats"] = Stats(**document["stats"])
    return Manifest(**document)
