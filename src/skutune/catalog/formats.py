"""The format by file suffix, and the check of the required columns."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from skutune.catalog.delimited import read_delimited
from skutune.catalog.files import is_compressed, require_file
from skutune.catalog.jsonlines import read_jsonlines
from skutune.catalog.notes import Notes
from skutune.catalog.records import Table
from skutune.config.schema import CatalogConfig, Columns
from skutune.errors import InputError, Problem

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")


def open_table(path: Path, config: CatalogConfig, notes: Notes) -> Table:
    """The table of a catalog file, checked to have each required column once.

    Args:
        notes: counts what the reader changes or skips.

    Raises:
        InputError: no such file, an unknown format, a file that does not match its suffix, or missing columns.
    """
    require_file(path)
    table = _table(path, config, notes)
    _check_columns(path, table, config.columns)
    return table


def attribute_columns(table: Table, columns: Columns) -> tuple[str, ...]:
    """The attribute columns: those in the config, or all that id and name do not use."""
    if columns.attributes is not None:
        return columns.attributes
    used = {columns.id, *columns.name_fields}
    return tuple(column for column in table.columns if column not in used)


def row_unit(path: Path) -> str:
    """What a row's number counts: "row" in parquet, else "line"."""
    return "row" if path.suffix.lower() in _PARQUET else "line"


def _table(path: Path, config: CatalogConfig, notes: Notes) -> Table:
    suffix = Path(path.stem).suffix.lower() if is_compressed(path) else path.suffix.lower()
    if suffix in _DELIMITERS:
        return read_delimited(path, _DELIMITERS[suffix], config, notes)
    if suffix in _JSON_LINES:
        return read_jsonlines(path, config.encoding)
    if path.suffix.lower() in _PARQUET:
        from skutune.catalog.parquet import read_parquet  # imports pyarrow

        return read_parquet(path)
    raise InputError(
        f"catalog {path}: unknown format {suffix or 'without suffix'!r}; "
        "supported are .csv, .tsv, .txt, .jsonl, .ndjson, .json (each also with .gz) and .parquet"
    )


def _check_columns(path: Path, table: Table, columns: Columns) -> None:
    problems = [
        *_doubled(table.columns),
        *(_missing(name, table.columns) for name in columns.required if table.columns and name not in table.columns),
    ]
    if columns.attributes is None:
        problems += _unnamed(table.columns)
    if problems:
        here = ", ".join(table.columns)
        raise InputError(f"catalog {path} ({table.dialect}): {table.columns_from} has the columns {here}", problems)


def _missing(column: str, present: Sequence[str]) -> Problem:
    close = difflib.get_close_matches(column, present, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "set catalog.columns (or --id and --name) to existing columns"
    return Problem(f"column {column!r}", f"is missing; {hint}")


def _doubled(present: Sequence[str]) -> list[Problem]:
    doubled = dict.fromkeys(column for column in present if column and present.count(column) > 1)
    return [Problem(f"column {column!r}", "is duplicated; rename one") for column in doubled]


def _unnamed(present: Sequence[str]) -> list[Problem]:
    numbers = [number for number, column in enumerate(present, start=1) if not column]
    return [
        Problem(f"column {number}", "has no name; name it, or list the attributes in catalog.columns.attributes")
        for number in numbers
    ]
