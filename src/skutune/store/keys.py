"""Which texts may be keys.

What one store takes and another refuses would be found only after a move from a laptop to a cluster. So a key is what
a file system, S3 and its look-alikes all keep as it is.
"""

from __future__ import annotations

from skutune.errors import InputError

LONGEST_KEY_BYTES = 1024
"""S3's limit, prefix included."""

LONGEST_PART_BYTES = 255
"""The limit of common file systems for one name."""

TEMPORARY = ".put-"
"""How the name of a half-written file begins; no key has such a part."""


def check_key(key: str) -> str:
    """The key itself. Raises InputError where it could not be kept in every store."""
    problem = _problem(key)
    if problem:
        raise InputError(f"store key {key[:200]!r}: {problem}")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix of a listing itself: whole parts, then the beginning of one. Raises InputError like `check_key`."""
    folder, separator, _ = prefix.rpartition("/")
    if separator:
        check_key(folder)
    return prefix


def is_key(text: str) -> bool:
    """Whether an object under this key can be one of ours; a console's `folder/` marker is not."""
    return _problem(text) is None


def _problem(key: str) -> str | None:
    if not key.isprintable():
        return "holds control characters or unusual white space"
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > LONGEST_KEY_BYTES:
        return f"is longer than {LONGEST_KEY_BYTES} bytes"
    return next((problem for part in key.split("/") if (problem := _part_problem(part))), None)


def _part_problem(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return "has an empty part, or one that is `.` or `..`; keys are relative to the store's root"
    if part.startswith(TEMPORARY):
        return f"has a part that starts with {TEMPORARY!r}, which marks half-written files"
    if len(part.encode("utf-8")) > LONGEST_PART_BYTES:
        return f"has a part longer than {LONGEST_PART_BYTES} bytes"
    return None
