"""The user's own files, the catalog and verdicts by hand: where they lie, and what they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from skutune.config.schema import Config
from skutune.errors import InputError, RetryableError
from skutune.hashing import content_key, file_digest
from skutune.store import open_store

LABELS = "stages.evaluate.judge.labels"


def source_file(source: str, scratch: Path) -> Path:
    """The catalog as a local file. Raises InputError where there is none."""
    return _local("catalog.source", source, scratch)


def labels_file(labels: str, scratch: Path) -> Path:
    """The file of verdicts by hand as a local file. Raises InputError where there is none."""
    return _local(LABELS, labels, scratch)


def labels_digest(config: Config) -> str:
    """What the verdicts by hand are, for evaluate's fingerprint; "" where the config names none."""
    labels = config.stages.evaluate.judge.labels
    if labels is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        return _identity(labels_file(labels, Path(scratch)), LABELS)


def source_digest(source: str) -> str:
    """What the catalog is, for ingest's fingerprint: its content, and its format, which its name says."""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        return _identity(source_file(source, Path(scratch)))


def _local(what: str, source: str, scratch: Path) -> Path:
    if not source.startswith("s3://"):
        return Path(source)
    folder, _, name = source.rpartition("/")
    path = scratch / "source" / name
    if folder.count("/") < 2 or not name:
        raise InputError(f"{what} {source}: write it as s3://bucket/path/file.csv")
    store = open_store(folder)
    if store.head(name) is None:
        raise InputError(f"{what} {source}: no such object")
    store.get_file(name, path)
    return path


def _identity(path: Path, what: str = "catalog.source") -> str:
    try:
        digest = file_digest(path)
    except FileNotFoundError:
        raise InputError(f"{what} {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{what} {path}: is a folder; name the file in it") from None
    except OSError as error:
        raise InputError(f"{what} {path}: cannot be read: {error.strerror}") from None
    return content_key([path.suffixes, digest])


def checked_source(source: str, digest: str, scratch: Path) -> Path:
    """The catalog that a task is about. Raises RetryableError where the file was replaced since."""
    path = source_file(source, scratch)
    if _identity(path) != digest:
        raise RetryableError(f"catalog.source {source}: was replaced while the run began; run again")
    return path
