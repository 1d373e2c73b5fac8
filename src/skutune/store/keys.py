"""Validation of object keys.

A key must be valid on file systems, on S3 and on S3-compatible servers alike; otherwise a run that works on a laptop
could fail on a cluster.
"""

from __future__ import annotations

from skutune.errors import InputError

MAX_KEY_BYTES = 1024
"""The limit of S3, prefix included."""

MAX_NAME_BYTES = 255
"""The limit of common file systems for one file name."""

TEMPORARY = ".put-"
"""The name prefix of files that are still being written; reserved, so invalid in keys."""


def check_key(key: str) -> str:
    """Return the key. Raises InputError if any store could reject it."""
    problem = _problem(key)
    if problem:
        raise InputError(f"store key {key[:200]!r}: {problem}")
    return key


def check_prefix(prefix: str) -> str:
    """Return a listing prefix: valid folder names, then the start of a name. Raises InputError like `check_key`."""
    folder, separator, _ = prefix.rpartition("/")
    if separator:
        check_key(folder)
    return prefix


def is_key(text: str) -> bool:
    """Whether this is a valid key; the `folder/` markers that S3 consoles create are not."""
    return _problem(text) is None


def _problem(key: str) -> str | None:
    if not key.isprintable():
        return "contains control characters or unusual white space"
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    return next((problem for segment in key.split("/") if (problem := _segment_problem(segment))), None)


def _segment_problem(segment: str) -> str | None:
    if segment in {"", ".", ".."}:
        return "has an empty, `.` or `..` path segment; keys are relative to the store's root"
    if segment.startswith(TEMPORARY):
        return f"has a path segment that starts with {TEMPORARY!r}, which is reserved for temporary files"
    if len(segment.encode("utf-8")) > MAX_NAME_BYTES:
        return f"has a path segment longer than {MAX_NAME_BYTES} bytes"
    return None
