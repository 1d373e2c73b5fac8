"""The store: objects under keys, in a local folder or an S3 bucket.

The protocol is as small as what every S3-compatible server does alike: whole objects put, got, listed and deleted. It
has no rename, no append and no conditional put; an object is visible whole or not at all, and nothing that skutune
does depends on which of two writers came first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skutune.errors import SkutuneError


class NotFoundError(SkutuneError):
    """No object has this key."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it.

    Attributes:
        key: relative to the store's root.
        size: in bytes.
        version: another one after the object was replaced, also by one of the same size; the same in a listing and
            alone. It can only be compared (S3: the ETag, local: the time of change in nanoseconds); "" where unknown.
    """

    key: str
    size: int
    version: str = ""


class ObjectStore(Protocol):
    """Objects by key. Keys are relative to the root, with `/` between their parts.

    Every method raises `RetryableError` where trying again makes sense (unreachable, throttled past the client's own
    retries, disk full) and `InputError` where it does not (wrong credentials, no such bucket, no right).
    """

    @property
    def uri(self) -> str:
        """The root: an absolute folder path, or `s3://bucket/prefix`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write one object whole; an object under this key is replaced."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, streamed from a file."""
        ...

    def get(self, key: str) -> bytes:
        """The whole object. Raises NotFoundError."""
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Like `get`, streamed into a file (parents are made). Raises NotFoundError."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with the prefix (a plain string prefix, as in S3), sorted by key."""
        ...

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The names of the folders directly below a prefix, sorted, without looking into them.

        A folder is what lies before the next `/` of a key. The prefix is one as in `list`: below "run/" are its
        stages; below "run/em" those of them that begin with "em", named whole ("embed"). A folder without an object
        may be among them: a killed process leaves one on a disk, and some S3 servers keep it for a while after its
        last object.
        """
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """The object's size and version, or None where there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        ...
