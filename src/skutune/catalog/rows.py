"""Records as products: ids kept as text, names folded to one line, attributes as text in the user's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from skutune.answer_format import is_valid_id
from skutune.catalog.formats import attribute_columns, is_parquet, open_table
from skutune.catalog.names import build_name
from skutune.catalog.records import Record, excerpt
from skutune.catalog.values import id_text, value_text
from skutune.config.schema import Columns
from skutune.errors import InputError, Problem
from skutune.hashing import content_key
from skutune.records import Product, Reject
from skutune.text import words

NAME_CHARACTERS = 300
"""A longer name is rejected: it is a description in the wrong column, or the result of an unclosed quote."""

SHOWN_REJECTS = 20
"""Rejects listed in an error."""


def read(path: Path, columns: Columns) -> Iterator[Product | Reject]:
    """Stream a catalog file: each row as a product, or as a reject with its reason, in the file's order.

    The suffix tells the format: csv, tsv, jsonl or ndjson (also .gz), parquet. Memory holds the ids, not the rows.

    Raises:
        InputError: the file cannot be read to its end, or has no product. Raised while iterating.
    """
    table = open_table(path, columns)
    build = _Builder(columns, attribute_columns(table, columns), "row" if is_parquet(path) else "line")
    products = 0
    first_rejects: list[Reject] = []
    for record in table.rows:
        row = record if isinstance(record, Reject) else build(record)
        if isinstance(row, Product):
            products += 1
        elif len(first_rejects) < SHOWN_REJECTS:
            first_rejects.append(row)
        yield row
    if not products:
        raise _no_products(path, first_rejects)


def reject_problem(reject: Reject, path: Path) -> Problem:
    """A reject as a problem: `line 7: the id is empty`."""
    unit = "row" if is_parquet(path) else "line"
    shown = f" ({reject.content})" if reject.content else ""
    return Problem(f"{unit} {reject.line}", reject.reason + shown)


def _no_products(path: Path, rejects: list[Reject]) -> InputError:
    what = "every row was rejected; the first problems" if rejects else "has no products"
    return InputError(f"catalog {path}: {what}", [reject_problem(reject, path) for reject in rejects])


class _RowError(ValueError):
    """Why a record is rejected."""


class _Builder:
    """Builds products one by one, and keeps the ids to detect duplicates."""

    def __init__(self, columns: Columns, attributes: tuple[str, ...], unit: str) -> None:
        self._id_column, self._attributes, self._unit = columns.id, attributes, unit
        self._name: Callable[[Record], str] = build_name(columns)
        self._first_lines: dict[str, int] = {}

    def __call__(self, record: Record) -> Product | Reject:
        try:
            product_id = self._checked_id(record)
            name = self._checked_name(record)
            self._remember(product_id, record.line)
        except _RowError as error:
            return Reject(record.line, str(error), excerpt(record.content))
        attributes = self._attribute_texts(record)
        return Product(product_id, name, attributes, content_key([product_id, name, attributes]))

    def _checked_id(self, record: Record) -> str:
        try:
            product_id = id_text(record.values.get(self._id_column))
        except ValueError as error:
            raise _RowError(str(error)) from None
        if not product_id:
            raise _RowError("the id is empty")
        if not is_valid_id(product_id):
            raise _RowError(f"the id {product_id[:40]!r} contains white space or a control character")
        return product_id

    def _checked_name(self, record: Record) -> str:
        name = self._name(record)
        if not name:
            raise _RowError("the name is empty")
        if not words(name):
            raise _RowError(f"the name {name[:40]!r} has no letter or digit")
        if len(name) > NAME_CHARACTERS:
            raise _RowError(f"the name has {len(name):,} characters, more than {NAME_CHARACTERS}; is a quote unclosed?")
        return name

    def _remember(self, product_id: str, line: int) -> None:
        first = self._first_lines.setdefault(product_id, line)
        if first != line:
            raise _RowError(f"the id {product_id!r} is a duplicate of {self._unit} {first}")

    def _attribute_texts(self, record: Record) -> dict[str, str]:
        texts = {column: value_text(record.values.get(column)) for column in self._attributes}
        return {column: text for column, text in texts.items() if text}
