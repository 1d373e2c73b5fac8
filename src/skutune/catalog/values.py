"""Typed values of a catalog as text: the same text whether a column came as csv, JSON or parquet."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from typing import Any

from skutune.text import fold

_EXACT_FLOATS = 2**53
"""From here on floats skip integers, so an id that was read as a float may be another product's."""


def id_text(value: Any) -> str:
    """An id as text, trimmed; "" if there is none.

    A whole float becomes the integer that it was before missing values turned its column into floats. Raises
    ValueError with the reason for a value that cannot be an id.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (bool, list, tuple, dict)):
        raise ValueError(f"the id is a {_kind(value)}, not text or a number")
    if isinstance(value, float) and math.isfinite(value) and abs(value) >= _EXACT_FLOATS:
        raise ValueError("the id is a float too large to be exact; keep ids as text")
    return value_text(value)


def value_text(value: Any) -> str:
    """A value on one line; "" for None, NaN and empty lists."""
    if isinstance(value, str):
        return fold(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(text for text in map(value_text, value) if text)
    if isinstance(value, dict):
        return fold(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)) if value else ""
    if isinstance(value, bytes):
        return fold(value.decode("utf-8", "replace"))
    return value.isoformat() if isinstance(value, (date, datetime, time)) else fold(str(value))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "nested object" if isinstance(value, dict) else "list"
