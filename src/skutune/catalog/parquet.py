"""parquet: read in batches of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skutune.catalog.records import Record, Table
from skutune.errors import InputError

_BATCH_ROWS = 1024
_SHOWN = json.JSONEncoder(ensure_ascii=False, default=str)


def read_parquet(path: Path) -> Table:
    """The table of a parquet file; the line number of a record is its row, from 1.

    Raises:
        InputError: not a parquet file, or corrupt (possibly detected only while the rows are read).
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None
    return Table(tuple(file.schema_arrow.names), "the file's schema", _records(path, file), "parquet")


def _records(path: Path, file: Any) -> Iterator[Record]:
    try:
        with file:
            for line, values in enumerate(_values(file), start=1):
                yield Record(line, values, _SHOWN.encode(values))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None


def _values(file: Any) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        yield from batch.to_pylist()


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"catalog {path}: not a parquet file, or corrupt ({reason}); export it again")
