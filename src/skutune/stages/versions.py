"""The code version of each stage: part of its fingerprint and of every row's key.

Raise a stage's number when its code (parsing, cleaning, rules) makes other rows of the same inputs; then rows of the
older code are not taken over. Prompts, schemas and settings are in the keys by themselves.
"""

from __future__ import annotations

_VERSIONS: dict[str, int] = {}


def version_of(stage: str) -> int:
    """The version of a stage's code; 1 until it is raised."""
    return _VERSIONS.get(stage, 1)
