"""The user's catalog file: where it lies, and what it is."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from skutune.errors import InputError, RetryableError
from skutune.hashing import content_key
from skutune.store import open_store


def source_file(source: str, scratch: Path) -> Path:
    """The catalog as a local file. Raises InputError where there is none."""
    if not source.startswith("s3://"):
        return Path(source)
    folder, _, name = source.rpartition("/")
    path = scratch / "source" / name
    if folder.count("/") < 2 or not name:
        raise InputError(f"catalog.source {source}: write it as s3://bucket/path/file.csv")
    store = open_store(folder)
    if store.head(name) is None:
        raise InputError(f"catalog.source {source}: no such object")
    store.get_file(name, path)
    return path


def source_digest(source: str) -> str:
    """What the catalog is, for ingest's fingerprint: its content, and its format, which its name says."""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        return _file_digest(source_file(source, Path(scratch)))


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(f"catalog.source {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"catalog.source {path}: is a folder; name the file in it") from None
    except OSError as error:
        raise InputError(f"catalog.source {path}: cannot be read: {error.strerror}") from None
    return content_key([path.suffixes, digest])


def checked_source(source: str, digest: str, scratch: Path) -> Path:
    """The catalog that a task is about. Raises RetryableError where the file was replaced since."""
    path = source_file(source, scratch)
    if _file_digest(path) != digest:
        raise RetryableError(f"catalog.source {source}: was replaced while the run began; run again")
    return path
