"""jsonl, ndjson and json: one JSON object per line.

Objects may lack keys, so the columns are the union of the keys of the first objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from skutune.catalog.files import TextFile
from skutune.catalog.records import Record, Table, excerpt
from skutune.errors import InputError
from skutune.records import Reject

LOOKED_AT = 1000
"""Lines that are read ahead to find the columns."""


def read_jsonlines(path: Path, encoding: str) -> Table:
    """The table of a file of JSON objects.

    Raises:
        InputError: a line is JSON but not an object (after the first LOOKED_AT lines: raised while the rows are read).
    """
    file = TextFile(path, encoding)
    rows = _rows(path, file.lines())
    first = list(islice(rows, LOOKED_AT))
    columns = dict.fromkeys(key for row in first if isinstance(row, Record) for key in row.values)
    if first and not columns and all(isinstance(row, Record) for row in first):
        raise InputError(f"catalog {path}: its objects are empty")
    dialect = f"{file.encoding}, a JSON object a line"
    return Table(tuple(columns), f"the first {LOOKED_AT:,} lines", chain(first, rows), dialect)


def _rows(path: Path, lines: Iterator[str]) -> Iterator[Record | Reject]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(path, number, line)


def _row(path: Path, number: int, line: str) -> Record | Reject:
    try:
        value = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        _refuse_array(path, number, line)
        return Reject(number, f"not JSON: {error.msg} at character {error.colno}", excerpt(line))
    except RecursionError:
        return Reject(number, "not usable JSON: nested too deeply", excerpt(line))
    except ValueError as error:  # a duplicate key, or a number that is too large
        return Reject(number, f"not usable JSON: {error}", excerpt(line))
    if not isinstance(value, dict):
        raise _no_object(path, number)
    return Record(number, value, line)


def _refuse_array(path: Path, number: int, line: str) -> None:
    """A multi-line array, as `json.dump` writes it, is refused at its first line."""
    if number == 1 and line.lstrip().startswith("["):
        raise _no_object(path, number)


def _no_object(path: Path, number: int) -> InputError:
    return InputError(f"catalog {path}, line {number}: is not a JSON object; write one object per line, not a list")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {doubled!r}")
    return values


# Built once: `json.loads` with a hook builds one a line.
_DECODER = json.JSONDecoder(object_pairs_hook=_once)
