"""jsonl: one JSON object a line.

Objects may leave keys out, so the columns are those of the first objects together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from skutune.catalog.files import text_lines
from skutune.catalog.records import Record, Table, excerpt
from skutune.errors import InputError
from skutune.records import Reject

LOOKED_AT = 1000
"""So many lines are read ahead to learn the columns."""


def read_jsonlines(path: Path) -> Table:
    """The table of a jsonl file.

    Raises:
        InputError: a line is JSON but no object (raised while the rows are read, behind the first LOOKED_AT).
    """
    rows = _rows(path)
    first = list(islice(rows, LOOKED_AT))
    columns = dict.fromkeys(key for row in first if isinstance(row, Record) for key in row.values)
    if first and not columns and all(isinstance(row, Record) for row in first):
        raise InputError(f"catalog {path}: its objects hold nothing")
    return Table(tuple(columns), f"the first {LOOKED_AT:,} lines", chain(first, rows))


def _rows(path: Path) -> Iterator[Record | Reject]:
    for number, line in enumerate(text_lines(path), start=1):
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
    except ValueError as error:  # a key twice, or a number beyond all measure
        return Reject(number, f"not usable JSON: {error}", excerpt(line))
    if not isinstance(value, dict):
        raise _no_object(path, number)
    return Record(number, value, line)


def _refuse_array(path: Path, number: int, line: str) -> None:
    """An array over several lines, as `json.dump` writes it, is refused at its first line."""
    if number == 1 and line.lstrip().startswith("["):
        raise _no_object(path, number)


def _no_object(path: Path, number: int) -> InputError:
    return InputError(
        f"catalog {path}, line {number}: is no JSON object; write one object a line, without a list around"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {doubled!r} is there twice")
    return values


# Built once: `json.loads` with a hook builds one a line.
_DECODER = json.JSONDecoder(object_pairs_hook=_once)
