"""Records: the rows of a file before they are interpreted as products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skutune.records import Reject
from skutune.text import fold

CONTENT_CHARACTERS = 200
"""Characters kept of a rejected row."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the file. `line` is its first line, in parquet its row; both count from 1."""

    line: int
    values: Mapping[str, Any]
    content: str


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns, in order, and its rows, which are read lazily.

    Attributes:
        columns: the names; "" for an unnamed column.
        columns_from: where the names stand, for errors.
        rows: the rows, once.
        dialect: how the file is read: its encoding and delimiter, or its format.
    """

    columns: tuple[str, ...]
    columns_from: str
    rows: Iterator[Record | Reject]
    dialect: str


def excerpt(content: str) -> str:
    """The start of a row on one line."""
    return fold(content[: 4 * CONTENT_CHARACTERS])[:CONTENT_CHARACTERS]
