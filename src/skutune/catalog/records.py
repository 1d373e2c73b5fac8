"""What a file format yields, before anything is known about products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skutune.records import Reject
from skutune.text import fold

CONTENT_CHARACTERS = 200
"""So much of a rejected row is kept."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as the file holds it. `line` counts from 1: the line where it starts, in parquet its row."""

    line: int
    values: Mapping[str, Any]
    content: str


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns, in their order, and its rows, which are read while they are iterated.

    `columns_from` says in words where the columns were found. An unnamed column is "".
    """

    columns: tuple[str, ...]
    columns_from: str
    rows: Iterator[Record | Reject]


def excerpt(content: str) -> str:
    """The start of a row on one line."""
    return fold(content[: 4 * CONTENT_CHARACTERS])[:CONTENT_CHARACTERS]
