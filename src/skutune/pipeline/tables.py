"""Rows as Parquet parts: written whole, read back with their digest checked, taken over by key.

A table's columns are the fields of its record, in their order, so the same rows always give the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import types
import typing
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
    """The rows of one Parquet object, some thousands at a time."""
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
    """Put one part and return what a manifest lists of it."""
    rejected = sum(1 for row in rows if getattr(row, "rejected", None) is not None)
    return put_part(store, folder, part, encode(record, rows), len(rows), rejected, table)


def put_part(
    store: ObjectStore, folder: str, part: int, data: bytes, rows: int, rejected: int, table: str = ""
) -> Entry:
    """Put the Parquet bytes of one part and return what a manifest lists of it."""
    name, digest = part_name(part, data, table)
    store.put(f"{folder}/{name}", data)
    heartbeat()
    return Entry(table, part, name, rows, rejected, len(data), digest)


def read_part(store: ObjectStore, folder: str, record: Callable[..., Row], entry: Entry) -> Iterator[Row]:
    """The rows of one part. Raises SkutuneError where its bytes are not those that the manifest names."""
    yield from decode(record, read_object(store, folder, entry))


def read_object(store: ObjectStore, folder: str, entry: Entry) -> bytes:
    """The bytes of one object. Raises SkutuneError where they are not those that the manifest names."""
    data = store.get(f"{folder}/{entry.name}")
    heartbeat()
    if bytes_digest(data) != entry.digest:
        raise changed_object(store, f"{folder}/{entry.name}")
    return data


def changed_object(store: ObjectStore, key: str) -> SkutuneError:
    """The error for an object that is not what its manifest says."""
    return SkutuneError(
        f"{store.uri}/{key}: its bytes are not those that the manifest lists (it was changed or damaged); delete the "
        "object, and a new run makes it again"
    )


def rows_by_key(
    store: ObjectStore,
    folders: Sequence[tuple[str, Manifest]],
    record: Callable[..., Row],
    part: int,
    wanted: Iterable[str],
) -> dict[str, list[Row]]:
    """The rows with the wanted keys of part `part` in earlier outputs of the same stage; the first output wins.

    Reuse only saves work: an earlier output that cannot be read is passed over with a warning.
    """
    found: dict[str, list[Row]] = {}
    missing = set(wanted)
    for folder, manifest in folders:
        entry = manifest.parts().get(part)
        if entry is None or not missing:
            continue
        fresh: dict[str, list[Row]] = {}
        try:
            for row in read_part(store, folder, record, entry):
                if row.key in missing:  # type: ignore[attr-defined]
                    fresh.setdefault(row.key, []).append(row)  # type: ignore[attr-defined]
        except (SkutuneError, pa.ArrowException, KeyError) as error:
            _log.warning("%s/%s is not reused: %s", folder, entry.name, error)
            continue
        found |= fresh
        missing -= fresh.keys()
    return found


class Partitioner:
    """Rows in any order → parts by a hash of a text, kept as compact Arrow columns until the parts are known."""

    def __init__(self, record: type) -> None:
        self._record = record
        self._rows: list[Any] = []
        self._hashes: list[int] = []
        self._tables: list[pa.Table] = []
        self._packed: list[np.ndarray[Any, np.dtype[np.uint64]]] = []

    def add(self, row: Any, text_hash: int) -> None:
        """Take one row, bucketed by this hash (unsigned, 64 bits)."""
        self._rows.append(row)
        self._hashes.append(text_hash)
        if len(self._rows) >= _BATCH_ROWS:
            self._pack()

    def parts(self, buckets: int) -> Iterator[tuple[int, pa.Table]]:
        """Each part's number and table (empty ones too), rows in the order in which they were added."""
        self._pack()
        table = pa.concat_tables(self._tables) if self._tables else schema_of(self._record).empty_table()
        hashes = np.concatenate([*self._packed, np.empty(0, np.uint64)])
        places = (hashes % np.uint64(buckets)).astype(np.int64)
        order = np.argsort(places, kind="stable")
        borders = np.searchsorted(places[order], np.arange(buckets + 1))
        for part in range(buckets):
            chosen = order[borders[part] : borders[part + 1]]
            yield part, table.take(pa.array(chosen)).combine_chunks()

    def _pack(self) -> None:
        if self._rows:
            self._tables.append(to_arrow(self._record, self._rows))
            self._packed.append(np.array(self._hashes, dtype=np.uint64))
            self._rows, self._hashes = [], []


def _field_types(record: type) -> dict[str, Any]:
    """The types of a record's fields; `records` itself does not import numpy."""
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
    raise SkutuneError(f"no column type for {hint!r}")


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_map(kind):
        return pa.array([list(value.items()) for value in values], type=kind)
    if pa.types.is_list(kind) and pa.types.is_float32(kind.value_type):
        return _vectors(values, kind)
    if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        return pa.array([[dataclasses.asdict(item) for item in value] for value in values], type=kind)
    return pa.array(values, type=kind)


def _vectors(values: list[Any], kind: pa.DataType) -> pa.Array:
    lengths = [len(value) for value in values]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    flat = np.concatenate(values).astype(np.float32) if values else np.empty(0, np.float32)
    return pa.ListArray.from_arrays(offsets, pa.array(flat)).cast(kind)


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
