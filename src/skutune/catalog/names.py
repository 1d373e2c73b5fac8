"""A product's name: a column, or a template over columns whose empty parts are dropped."""

from __future__ import annotations

import re
from collections.abc import Callable

from skutune.config.schema import Columns, parse_name_template
from skutune.text import fold

_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")
_SEPARATORS = re.compile(r"\s*([,;:|/]|\s[-–—])(?:\s*[,;:|/]|\s+[-–—](?=\s|$))+")
_OUTER = " ,;:|/-–—"


def build_name(columns: Columns) -> Callable[[Callable[[str], str]], str]:
    """A function that builds a name, on one line, from the text of each column; "" where all parts are empty."""
    parts = parse_name_template(columns.name)
    if all(column is None for _, column in parts):
        return lambda text_of: text_of(columns.name)
    return lambda text_of: _filled(parts, text_of)


def _filled(parts: list[tuple[str, str | None]], text_of: Callable[[str], str]) -> str:
    values = [text_of(column) if column is not None else "" for _, column in parts]
    if not any(values):
        return ""
    name = "".join(literal + value for (literal, _), value in zip(parts, values, strict=True))
    complete = all(value for (_, column), value in zip(parts, values, strict=True) if column is not None)
    return fold(name) if complete else _tidied(name)


def _tidied(name: str) -> str:
    """The name without the brackets and separators around an empty part."""
    without_brackets = _EMPTY_BRACKETS.sub(" ", name)
    return fold(_SEPARATORS.sub(r"\1", without_brackets)).strip(_OUTER)
