"""Records as products: ids kept as text, names on one line, attributes as text in the user's order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from skutune.answer_format import is_valid_id
from skutune.catalog.duplicates import merge_duplicates
from skutune.catalog.formats import attribute_columns, open_table, row_unit
from skutune.catalog.names import build_name
from skutune.catalog.notes import Note, Notes
from skutune.catalog.records import Record, Table, excerpt
from skutune.catalog.values import id_text, value_text
from skutune.catalog.variants import detect_group, fill_variants, product_level_columns
from skutune.config.schema import CatalogConfig
from skutune.errors import InputError, Problem
from skutune.hashing import content_key
from skutune.records import Product, Reject
from skutune.text import cut_text, words

NAME_CHARACTERS = 300
"""A longer name is rejected: it is a description in the wrong column, or the result of an unclosed quote."""

SHOWN_REJECTS = 20
"""Rejects listed in an error."""


class CatalogReader:
    """Streams a catalog file: each row as a product, or as a reject with its reason, in the file's order.

    The suffix states the format: csv, tsv, txt, jsonl, ndjson or json (also .gz), parquet. Memory holds the ids, not
    the rows.

    Attributes:
        notes: what was changed or left out, counted while the rows are read.
        dialect: the encoding and the delimiter.
        group: the column whose value the rows of a product's variants share; None where there are none.

    Raises:
        InputError: the file cannot be read to its end, or has no product. Raised also while iterating.
    """

    def __init__(self, path: Path, config: CatalogConfig) -> None:
        self.path, self.config = path, config
        self.notes = Notes()
        table = open_table(path, config, self.notes)
        self.columns, self.dialect = table.columns, table.dialect
        self.attributes = attribute_columns(table, config.columns)
        self.group = self._group()
        self._rows = table.rows if self.group is None else self._with_variants(table.rows, self.group)

    def __iter__(self) -> Iterator[Product | Reject]:
        products = 0
        first_rejects: list[Reject] = []
        for row in self._products():
            if isinstance(row, Product):
                products += 1
            elif len(first_rejects) < SHOWN_REJECTS:
                first_rejects.append(row)
            yield row
        if not products:
            raise _no_products(self.path, first_rejects)

    def _products(self) -> Iterator[Product | Reject]:
        build = _Builder(self.config, self.attributes, row_unit(self.path), self.notes)
        rows = ((row.line, row if isinstance(row, Reject) else build(row)) for row in self._rows)
        if self.config.duplicates == "merge":
            return merge_duplicates(rows, self.notes)
        return (row for _, row in rows)

    def _table(self) -> Table:
        return open_table(self.path, self.config, Notes())

    def _group(self) -> str | None:
        if self.config.inherit == "auto":
            return detect_group(self._table().rows, self.columns, self.config.columns)
        if self.config.inherit == "none":
            return None
        if self.config.inherit not in self.columns:
            here = ", ".join(self.columns)
            raise InputError(
                f"catalog {self.path}: catalog.inherit: column {self.config.inherit!r} is missing; present: {here}"
            )
        return self.config.inherit

    def _with_variants(self, rows: Iterator[Record | Reject], group: str) -> Iterator[Record | Reject]:
        id_column = self.config.columns.id
        inherited = product_level_columns(self._table().rows, self.columns, id_column, group)
        return fill_variants(rows, inherited, id_column, group, self.notes)


def read(path: Path, config: CatalogConfig) -> CatalogReader:
    """The reader of a catalog file. Raises InputError as `CatalogReader`."""
    return CatalogReader(path, config)


def reject_problem(reject: Reject, path: Path) -> Problem:
    """A reject as a problem: `line 7: the id is empty`."""
    shown = f" ({reject.content})" if reject.content else ""
    return Problem(f"{row_unit(path)} {reject.line}", reject.reason + shown)


def _no_products(path: Path, rejects: list[Reject]) -> InputError:
    what = "every row was rejected; the first problems" if rejects else "has no products"
    return InputError(f"catalog {path}: {what}", [reject_problem(reject, path) for reject in rejects])


class _RowError(ValueError):
    """Why a record is rejected."""


class _Builder:
    """Builds products one by one, and keeps the ids to detect duplicates."""

    def __init__(self, config: CatalogConfig, attributes: tuple[str, ...], unit: str, notes: Notes) -> None:
        self._id_column, self._attributes, self._unit, self._notes = config.columns.id, attributes, unit, notes
        self._clean, self._attribute_characters = config.markup == "remove", config.attribute_characters
        self._name, self._name_columns = build_name(config.columns), config.columns.name_fields
        self._unique = config.duplicates == "reject"
        self._first_lines: dict[str, int] = {}

    def __call__(self, record: Record) -> Product | Reject:
        try:
            product_id = self._checked_id(record)
            name = self._checked_name(record)
            if self._unique:
                self._remember(product_id, record.line)
        except _RowError as error:
            return Reject(record.line, str(error), excerpt(record.content))
        attributes = self._attribute_texts(record)
        return Product(product_id, name, attributes, content_key([product_id, name, attributes]))

    def _checked_id(self, record: Record) -> str:
        try:
            product_id = id_text(record.values.get(self._id_column), partial(self._note, record))
        except ValueError as error:
            raise _RowError(str(error)) from None
        if not product_id:
            raise _RowError("the id is empty")
        if not is_valid_id(product_id):
            raise _RowError(f"the id {product_id[:40]!r} contains white space or a control character")
        return product_id

    def _checked_name(self, record: Record) -> str:
        parts = {column: self._text(record, column) for column in self._name_columns}
        name = self._name(parts.__getitem__)
        self._notes.empty_parts.update(column for column, text in parts.items() if name and not text)
        if not name:
            raise _RowError("the name is empty")
        if not words(name):
            raise _RowError(f"the name {name[:40]!r} has no letter or digit")
        if len(name) > NAME_CHARACTERS:
            hint = "is a quote unclosed?" if "\n" in record.content.strip() else "is it a description?"
            raise _RowError(f"the name has {len(name):,} characters, more than {NAME_CHARACTERS}; {hint}")
        return name

    def _remember(self, product_id: str, line: int) -> None:
        first = self._first_lines.setdefault(product_id, line)
        if first != line:
            raise _RowError(f"the id {product_id!r} is a duplicate of {self._unit} {first}")

    def _attribute_texts(self, record: Record) -> dict[str, str]:
        texts = {}
        for column in self._attributes:
            text = self._text(record, column)
            if len(text) > self._attribute_characters:
                text = cut_text(text, self._attribute_characters)
                self._note(record, Note.ATTRIBUTE_CUT)
            if text:
                texts[column] = text
        return texts

    def _text(self, record: Record, column: str) -> str:
        value: Any = record.values.get(column)
        return value_text(value, partial(self._note, record) if self._clean else None)

    def _note(self, record: Record, note: Note) -> None:
        self._notes.add(note, record.line)
