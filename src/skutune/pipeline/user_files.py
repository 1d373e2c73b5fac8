"""Local copies and digests of the user's files: the catalog and the judge labels."""

from __future__ import annotations

import tempfile
from pathlib import Path

from skutune.config.schema import Config
from skutune.errors import InputError, RetryableError
from skutune.hashing import content_key, file_digest
from skutune.store import open_store

LABELS = "stages.evaluate.judge.labels"


def source_file(source: str, scratch: Path) -> Path:
    """The catalog as a local file. Raises InputError if it does not exist in the store."""
    return _local_copy("catalog.source", source, scratch)


def labels_file(labels: str, scratch: Path) -> Path:
    """The judge labels as a local file. Raises InputError if they do not exist in the store."""
    return _local_copy(LABELS, labels, scratch)


def labels_digest(config: Config) -> str:
    """A digest of the judge labels, for the fingerprint of evaluate; "" if the config has none."""
    labels = config.stages.evaluate.judge.labels
    if labels is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        return _digest(labels_file(labels, Path(scratch)), LABELS)


def source_digest(source: str) -> str:
    """A digest of the catalog's content and file extension, for the fingerprint of ingest."""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        return _digest(source_file(source, Path(scratch)))


def _local_copy(setting: str, source: str, scratch: Path) -> Path:
    if not source.startswith("s3://"):
        return Path(source)
    folder, _, name = source.rpartition("/")
    path = scratch / "source" / name
    if folder.count("/") < 2 or not name:
        raise InputError(f"{setting} {source}: use s3://bucket/path/file.csv")
    store = open_store(folder)
    if store.head(name) is None:
        raise InputError(f"{setting} {source}: no such object; correct the path")
    store.get_file(name, path)
    return path


def _digest(path: Path, setting: str = "catalog.source") -> str:
    try:
        digest = file_digest(path)
    except FileNotFoundError:
        raise InputError(f"{setting} {path}: no such file; correct the path") from None
    except IsADirectoryError:
        raise InputError(f"{setting} {path}: is a folder; specify a file") from None
    except OSError as error:
        raise InputError(f"{setting} {path}: cannot read the file: {error.strerror}") from None
    return content_key([path.suffixes, digest])


def checked_source(source: str, digest: str, scratch: Path) -> Path:
    """The catalog of a task as a local file. Raises RetryableError if it has changed since the task was submitted."""
    path = source_file(source, scratch)
    if _digest(path) != digest:
        raise RetryableError(f"catalog.source {source}: changed after the run started; run again")
    return path
