"""Stable hashes for row keys, file digests, bucket assignment and pseudo-random choices.

They depend only on their arguments, and are the same on every machine and in every process and release.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def content_key(value: Any) -> str:
    """A hash of a JSON-serializable value, independent of key order: 32 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def bytes_digest(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bucket_hash(text: str) -> int:
    """An unsigned 64-bit hash of a product id or name; its bucket is the hash modulo the number of buckets."""
    return _hash64(text)


def unit_hash(*texts: str) -> float:
    """A pseudo-random number in [0, 1) that depends only on the texts, for splits and samples."""
    return _hash64("\x1f".join(texts)) / 2**64


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
