"""Tables as Parquet parts: written atomically, read with digest verification, reused by key.

The columns of a table are the fields of its record, in order, so that equal rows give equal bytes.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skutune.errors import SkutuneError
from skutune.hashing import bytes_digest
from skutune.pipeline.manifests import Entry, Manifest
from skutune.pipeline.rejections import KEPT_REASONS, count_reasons
from skutune.process.watchdog import heartbeat
from skutune.store.base import ObjectStore

Row = TypeVar("Row")
_log = logging.getLogger(__name__)
_SCALARS: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_BATCH_ROWS = 4096


def schema_of(record: type) -> pa.Schema:
    """The Arrow schema of a record's fields."""
    hints = _field_types(record)
    return pa.schema([_field(field.name, hints[field.name]) for field in dataclasses.fields(record)])


def encode(record: type, rows: Sequence[Any]) -> bytes:
    """The rows as one Parquet object."""
    table = to_arrow(record, rows)
    return encode_arrow(table)


def encode_arrow(table: pa.Table) -> bytes:
    """An Arrow table as one Parquet object; equal tables give equal bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=16_384, store_schema=False)
    return buffer.getvalue()


def to_arrow(record: type, rows: Sequence[Any]) -> pa.Table:
    """The rows as an Arrow table."""
    schema = schema_of(record)
    columns = [_column([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def decode(record: Callable[..., Row], data: bytes) -> Iterator[Row]:
    """The rows of one Parquet object, decoded in batches."""
    schema = schema_of(typing.cast(type, record))
    readers = [_reader(hint) for hint in _hints(typing.cast(type, record))]
    file = pq.ParquetFile(io.BytesIO(data))
    names = [field.name for field in schema]
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
        columns = [read(batch.column(name)) for name, read in zip(names, readers, strict=True)]
        for values in zip(*columns, strict=True):
            yield record(*values)


def part_name(part: int, data: bytes, table: str = "") -> tuple[str, str]:
    """The object's name, relative to the stage's folder, and its digest."""
    digest = bytes_digest(data)
    folder = f"{table}/" if table else ""
    return f"{folder}part-{part:05d}-{digest[:16]}.parquet", digest


def write_part(store: ObjectStore, folder: str, record: type, part: int, rows: Sequence[Any], table: str = "") -> Entry:
    """Write one part and return its manifest entry."""
    reasons = count_reasons(getattr(row, "rejected", None) for row in rows)
    return put_part(store, folder, part, encode(record, rows), len(rows), reasons, table)


def put_part(
    store: ObjectStore, folder: str, part: int, data: bytes, rows: int, reasons: Counter[str], table: str = ""
) -> Entry:
    """Write the Parquet bytes of one part and return its manifest entry."""
    name, digest = part_name(part, data, table)
    store.put(f"{folder}/{name}", data)
    heartbeat()
    common = dict(reasons.most_common(KEPT_REASONS))
    return Entry(table, part, name, rows, reasons.total(), len(data), digest, common)


def read_part(store: ObjectStore, folder: str, record: Callable[..., Row], entry: Entry) -> Iterator[Row]:
    """The rows of one part. Raises SkutuneError if its digest does not match the manifest."""
    yield from decode(record, read_object(store, folder, entry))


def read_object(store: ObjectStore, folder: str, entry: Entry) -> bytes:
    """The bytes of one object. Raises SkutuneError if their digest does not match the manifest."""
    data = store.get(f"{folder}/{entry.name}")
    heartbeat()
    if bytes_digest(data) != entry.digest:
        raise digest_mismatch(store, f"{folder}/{entry.name}")
    return data


def digest_mismatch(store: ObjectStore, key: str) -> SkutuneError:
    """The error for an object whose digest does not match the manifest."""
    return SkutuneError(
        f"{store.uri}/{key}: digest does not match the manifest; the object was modified or is corrupt. Delete it "
        "and run again to recreate it"
    )


def rows_by_key(
    store: ObjectStore,
    folders: Sequence[tuple[str, Manifest]],
    record: Callable[..., Row],
    part: int,
    keys: Iterable[str],
) -> dict[str, list[Row]]:
    """The rows with these keys in part `part` of earlier outputs of the same stage; the first output takes precedence.

    Reuse is an optimization: outputs that cannot be read are skipped with a warning.
    """
    rows: dict[str, list[Row]] = {}
    missing = set(keys)
    for folder, manifest in folders:
        entry = manifest.parts().get(part)
        if entry is None or not missing:
            continue
        matches: dict[str, list[Row]] = {}
        try:
            for row in read_part(store, folder, record, entry):
                if row.key in missing:  # type: ignore[attr-defined]
                    matches.setdefault(row.key, []).append(row)  # type: ignore[attr-defined]
        except (SkutuneError, pa.ArrowException, KeyError) as error:
            _log.warning("cannot reuse %s/%s: %s", folder, entry.name, error)
            continue
        rows |= matches
        missing -= matches.keys()
    return rows


class Partitioner:
    """Partitions rows by hash, buffering them as compact Arrow tables until the number of buckets is known."""

    def __init__(self, record: type) -> None:
        self._record = record
        self._rows: list[Any] = []
        self._hashes: list[int] = []
        self._tables: list[pa.Table] = []
        self._hash_arrays: list[np.ndarray[Any, np.dtype[np.uint64]]] = []

    def add(self, row: Any, text_hash: int) -> None:
        """Add a row with its bucket hash (unsigned, 64 bits)."""
        self._rows.append(row)
        self._hashes.append(text_hash)
        if len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def parts(self, buckets: int) -> Iterator[tuple[int, pa.Table]]:
        """The number and table of each part, including empty ones, with rows in insertion order."""
        self._flush()
        table = pa.concat_tables(self._tables) if self._tables else schema_of(self._record).empty_table()
        hashes = np.concatenate([*self._hash_arrays, np.empty(0, np.uint64)])
        buckets_of_rows = (hashes % np.uint64(buckets)).astype(np.int64)
        order = np.argsort(buckets_of_rows, kind="stable")
        bounds = np.searchsorted(buckets_of_rows[order], np.arange(buckets + 1))
        for part in range(buckets):
            indices = order[bounds[part] : bounds[part + 1]]
            yield part, table.take(pa.array(indices)).combine_chunks()

    def _flush(self) -> None:
        if self._rows:
            self._tables.append(to_arrow(self._record, self._rows))
            self._hash_arrays.append(np.array(self._hashes, dtype=np.uint64))
            self._rows, self._hashes = [], []


def _field_types(record: type) -> dict[str, Any]:
    """The types of a record's fields; `records` does not import numpy itself."""
    return typing.get_type_hints(record, localns={"Vector": NDArray[np.float32]})


def _hints(record: type) -> list[Any]:
    hints = _field_types(record)
    return [hints[field.name] for field in dataclasses.fields(record)]


def _field(name: str, hint: Any) -> pa.Field:
    inner, optional = _optional(hint)
    return pa.field(name, _arrow_type(inner), nullable=optional)


def _optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [argument for argument in typing.get_args(hint) if argument is not type(None)]
        return inner[0], True
    return hint, False


def _arrow_type(hint: Any) -> pa.DataType:
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is np.ndarray:
        return pa.list_(pa.float32())
    if origin is list:
        return pa.list_(_arrow_type(arguments[0]))
    if origin is dict:
        return pa.map_(_arrow_type(arguments[0]), _arrow_type(arguments[1]))
    if dataclasses.is_dataclass(hint):
        return pa.struct(list(schema_of(typing.cast(type, hint))))
    raise SkutuneError(f"no Arrow type for {hint!r}")


def _column(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    if pa.types.is_map(arrow_type):
        return pa.array([list(value.items()) for value in values], type=arrow_type)
    if pa.types.is_list(arrow_type) and pa.types.is_float32(arrow_type.value_type):
        return _vectors(values, arrow_type)
    if pa.types.is_list(arrow_type) and pa.types.is_struct(arrow_type.value_type):
        return pa.array([[dataclasses.asdict(item) for item in value] for value in values], type=arrow_type)
    return pa.array(values, type=arrow_type)


def _vectors(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    lengths = [len(value) for value in values]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    flat = np.concatenate(values).astype(np.float32) if values else np.empty(0, np.float32)
    return pa.ListArray.from_arrays(offsets, pa.array(flat)).cast(arrow_type)


def _reader(hint: Any) -> Callable[[pa.Array], Iterable[Any]]:
    inner, _ = _optional(hint)
    origin, arguments = typing.get_origin(inner), typing.get_args(inner)
    if origin is np.ndarray:
        return _read_vectors
    if origin is dict:
        return lambda column: [dict(value) for value in column.to_pylist()]
    if origin is list and dataclasses.is_dataclass(arguments[0]):
        build = typing.cast(Callable[..., Any], arguments[0])
        return lambda column: [[build(**item) for item in value] for value in column.to_pylist()]
    return lambda column: column.to_pylist()


def _read_vectors(column: pa.Array) -> list[Any]:
    flat = column.values.to_numpy(zero_copy_only=False)
    offsets = column.offsets.to_numpy()
    return [flat[start:end] for start, end in pairwise(offsets)]
