"""The object store protocol, implemented by a local folder and an S3 bucket.

The protocol is limited to what every S3-compatible server supports: put, get, list and delete whole objects. There is
no rename, no append and no conditional put. Puts are atomic, and nothing in skutune depends on which of two writers
came first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skutune.errors import SkutuneError


class NotFoundError(SkutuneError):
    """The key does not exist."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The metadata of an object.

    Attributes:
        key: relative to the store's root.
        size: in bytes.
        version: changes whenever the object is replaced, even by one of the same size; identical in `list` and `head`.
            Opaque (S3: the ETag, local: the mtime in nanoseconds); "" if unknown.
    """

    key: str
    size: int
    version: str = ""


class ObjectStore(Protocol):
    """Objects by key. Keys are relative to the root, with `/` as separator.

    Every method raises `RetryableError` for transient failures (unreachable, throttled beyond the client's own retries,
    disk full) and `InputError` for permanent ones (wrong credentials, no such bucket, permission denied).
    """

    @property
    def uri(self) -> str:
        """The root: an absolute folder path, or `s3://bucket/prefix`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write an object atomically, replacing any object under this key."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, streamed from a file."""
        ...

    def get(self, key: str) -> bytes:
        """The content of an object. Raises NotFoundError."""
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Like `get`, streamed into a file; parent folders are created. Raises NotFoundError."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix` (a plain string prefix, as in S3), sorted by key."""
        ...

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The sorted names of the folders directly below a prefix, without listing their contents.

        Folders are S3's common prefixes with the delimiter `/`. The prefix is a string prefix as in `list`:
        "run/" yields the stages of the run, "run/em" only those that start with "em", by their full name ("embed").
        Empty folders may be included: a killed process leaves one on disk, and some S3 servers keep one for a while
        after its last object is deleted.
        """
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """The metadata of an object, or None if the key does not exist."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object; a missing key is not an error."""
        ...
