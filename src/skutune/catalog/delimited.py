"""csv, tsv and txt: the header names the columns, each row has one field a column."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from skutune.catalog.dialect import DELIMITERS, SAMPLE_LINES, detect_delimiter, stated_delimiter
from skutune.catalog.files import TextFile
from skutune.catalog.notes import Notes
from skutune.catalog.quoting import FaultyRow, Row, RowReader
from skutune.catalog.records import Record, Table, excerpt
from skutune.config.schema import CatalogConfig
from skutune.errors import InputError
from skutune.records import Reject


def read_delimited(path: Path, default: str, config: CatalogConfig, notes: Notes) -> Table:
    """The table of a text file.

    Args:
        default: the delimiter that the file's suffix implies.
        notes: counts what the reader changes or skips.

    Raises:
        InputError: no text, no header, or a header that cannot be split.
    """
    file = TextFile(path, config.encoding)
    lines = file.lines()
    # Line by line, and blank ones kept: the rows count lines.
    head = list(islice(lines, SAMPLE_LINES))
    sample = [line for line in head if line.strip()]
    skipped = 0
    delimiter = config.delimiter
    if sample and (stated := stated_delimiter(sample[0])) is not None:
        skipped = head.index(sample.pop(0)) + 1
        delimiter = stated if delimiter == "auto" else delimiter
    if not sample:
        raise InputError(f"catalog {path}: has no header and no products")
    if delimiter == "auto":
        delimiter = detect_delimiter(sample, default, config.columns.required)
    rows = RowReader(chain([""] * skipped, head[skipped:], lines), delimiter, config.quoting, notes)
    iterator = iter(rows)
    header = next(iterator, None)
    if header is None:
        raise InputError(f"catalog {path}: has no header and no products")
    if isinstance(header, FaultyRow):
        raise InputError(f"catalog {path}, line {header.line}: the header cannot be read: {header.reason}")
    columns = _names(header.fields)
    rows.columns = len(columns)
    dialect = f"{file.encoding}, delimiter {DELIMITERS.get(delimiter, repr(delimiter))}"
    return Table(columns, f"the header on line {header.line}", _records(rows, iterator, columns), dialect)


def _names(fields: list[str]) -> tuple[str, ...]:
    """The column names without unnamed columns at the end, which spreadsheets write for cells that were once filled."""
    names = [field.strip() for field in fields]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _records(
    rows: RowReader, iterator: Iterator[Row | FaultyRow], columns: tuple[str, ...]
) -> Iterator[Record | Reject]:
    for row in iterator:
        if isinstance(row, FaultyRow):
            yield Reject(row.line, row.reason, excerpt(row.text))
        elif rows.fits(row.fields):
            yield Record(row.line, dict(zip(columns, row.fields, strict=False)), row.text)
        else:
            yield Reject(row.line, _wrong_width(row, len(columns)), excerpt(row.text))


def _wrong_width(row: Row, columns: int) -> str:
    width = len(row.fields)
    few = "few" if width < columns else "many"
    hint = f"; the row runs over {row.lines:,} lines: is a quote not closed?" if row.lines > 1 else ""
    return f"too {few} fields: {width}, the header has {columns}{hint}"
