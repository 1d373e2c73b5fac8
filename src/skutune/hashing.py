"""Stable hashes: of what a row was made from, of which bucket it belongs to, of which of two choices it takes.

All are functions of their text alone: the same on every machine, in every process and release.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def content_key(value: Any) -> str:
    """A hash of a JSON-like value: 32 hexadecimal digits, equal for equal values whatever the order of their keys."""
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
    """An unsigned 64-bit hash; its remainder by the number of buckets is the bucket of a product id or a name."""
    return _number(text)


def unit_hash(*texts: str) -> float:
    """A number in [0, 1) that depends on the texts alone: the coin for splits and picks."""
    return _number("\x1f".join(texts)) / 2**64


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
