"""Typed values of a catalog as text: the same text whether a column came as csv, JSON or parquet."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from skutune.catalog.cleaning import Remember, clean_text, nested_value
from skutune.catalog.notes import Note
from skutune.text import fold

_EXACT_FLOATS = 2**53
"""From here on floats skip integers, so an id that was read as a float may be another product's."""

_TEXT_FORMULA = re.compile(r'="(.*)"')
_APOSTROPHE = re.compile(r"^'(?=\d)")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)


def id_text(value: Any, remember: Remember) -> str:
    """An id as text, trimmed; "" if there is none.

    A whole float becomes the integer that it was before missing values turned its column into floats; the marks that
    make a spreadsheet keep digits as text are removed. Raises ValueError with the reason for a value that cannot be an
    id.
    """
    if isinstance(value, str):
        return _typed_id(value.strip(), remember)
    if isinstance(value, (bool, list, tuple, dict)):
        raise ValueError(f"the id is a {_kind(value)}, not text or a number")
    if isinstance(value, float) and math.isfinite(value) and abs(value) >= _EXACT_FLOATS:
        raise ValueError("the id is a float too large to be exact; keep ids as text")
    return value_text(value)


def value_text(value: Any, remember: Remember | None = None) -> str:
    """A value on one line; "" for None, NaN and empty lists.

    Args:
        remember: cleans texts (see `cleaning`) and is called with what was changed; None keeps texts as they are.
    """
    if isinstance(value, str):
        return fold(value) if remember is None else _cleaned(value, remember)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(text for text in (value_text(item, remember) for item in value) if text)
    if isinstance(value, dict):
        return _fields_text(value, remember)
    if isinstance(value, bytes):
        return fold(value.decode("utf-8", "replace"))
    return value.isoformat() if isinstance(value, (date, datetime, time)) else fold(str(value))


def _typed_id(text: str, remember: Remember) -> str:
    plain = match[1].strip() if (match := _TEXT_FORMULA.fullmatch(text)) else _APOSTROPHE.sub("", text)
    if _SCIENTIFIC.fullmatch(plain):
        raise ValueError(
            f"the id {plain} is a number that lost its digits; format the column as text before exporting it"
        )
    if plain != text:
        remember(Note.ID_UNQUOTED)
    return plain


def _cleaned(text: str, remember: Remember) -> str:
    if (nested := nested_value(text)) is not None:
        remember(Note.NESTED)
        return value_text(nested, remember)
    return clean_text(text, remember)


def _fields_text(value: Mapping[Any, Any], remember: Remember | None) -> str:
    """`UPC: 0123; Weight: 5 oz`; with cleaning, "" for an object with a link: it describes an image or a page."""
    removed: set[Note] = set()
    note = None if remember is None else removed.add
    fields = {fold(str(key)): value_text(item, note) for key, item in value.items()}
    if remember is not None:
        for each in removed:
            remember(each)
        if Note.LINKS in removed:
            return ""
    return "; ".join(f"{key}: {text}" for key, text in fields.items() if text)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "nested object" if isinstance(value, dict) else "list"
