"""A product's name: a column, or a template over columns whose empty parts are dropped."""

from __future__ import annotations

import re
import string
from collections.abc import Callable

from skutune.catalog.records import Record
from skutune.catalog.values import value_text
from skutune.config.schema import Columns
from skutune.text import fold

_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")
_SEPARATORS = re.compile(r"\s*([,;:|/]|\s[-–—])(?:\s*[,;:|/]|\s+[-–—](?=\s|$))+")
_OUTER = " ,;:|/-–—"


def build_name(columns: Columns) -> Callable[[Record], str]:
    """A function from a record to its name, on one line; "" where all of its parts are empty."""
    parts = [(literal, field) for literal, field, _, _ in string.Formatter().parse(columns.name)]
    if all(field is None for _, field in parts):
        return lambda record: value_text(record.values.get(columns.name))
    return lambda record: _filled(parts, record)


def _filled(parts: list[tuple[str, str | None]], record: Record) -> str:
    values = [value_text(record.values.get(field)) if field is not None else "" for _, field in parts]
    if not any(values):
        return ""
    name = "".join(literal + value for (literal, _), value in zip(parts, values, strict=True))
    whole = all(value for (_, field), value in zip(parts, values, strict=True) if field is not None)
    return fold(name) if whole else _tidied(name)


def _tidied(name: str) -> str:
    """The name without the brackets and separators around an empty part."""
    without_brackets = _EMPTY_BRACKETS.sub(" ", name)
    return fold(_SEPARATORS.sub(r"\1", without_brackets)).strip(_OUTER)
