"""Rows of variants that leave the product's own cells empty, as shop exports write them.

    Handle       Title        Option1  SKU
    linen-shirt  Linen Shirt  S        LS-S
    linen-shirt               M        LS-M

The rows of a product share the value of a group column (`Handle`) and follow each other; only the first has the cells
that describe the product. Those cells are filled into the following rows, but only in columns that no following row of
the file fills: a price that one variant lacks is not another variant's price. A following row without an id is no
product (it lists a further image) and is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import eq

from skutune.catalog.notes import Note, Notes
from skutune.catalog.records import Record
from skutune.config.schema import Columns
from skutune.records import Reject

SAMPLE_ROWS = 2000
"""Rows that are read to detect the group column."""

Rows = Iterator[Record | Reject]


def detect_group(rows: Rows, names: Sequence[str], columns: Columns) -> str | None:
    """The column whose value changes exactly where the name's first column is filled; None without variants.

    Each further row must be named by another column of the name's template, or repeat the id: otherwise it may as well
    be a product whose name is missing.

    Args:
        rows: the rows of the file; the first SAMPLE_ROWS are read.
        names: the columns of the file.
    """
    sample = list(_records(islice(rows, SAMPLE_ROWS)))
    title, *others = columns.name_fields
    variants = [not _cell(row, title) for row in sample]
    if not any(variants) or variants[0]:
        return None
    named = all(
        any(_cell(row, name) for name in others)
        for row, variant in zip(sample, variants, strict=True)
        if variant and _cell(row, columns.id)
    )
    candidates = [name for name in names if name != title and (named or name == columns.id)]
    return next((name for name in candidates if _repeats(sample, name) == variants), None)


def product_level_columns(rows: Rows, names: Sequence[str], id_column: str, group: str) -> frozenset[str]:
    """The columns that no further row of a product fills: only these are inherited."""
    filled = {id_column}
    previous = ""
    for row in _records(rows):
        value = _cell(row, group)
        if value and value == previous:
            filled.update(name for name in row.values if _cell(row, name))
        previous = value
    return frozenset(names) - filled


def fill_variants(rows: Rows, inherited: frozenset[str], id_column: str, group: str, notes: Notes) -> Rows:
    """The rows with inherited cells; further rows of a product that have no id of their own are left out.

    Args:
        inherited: the columns that a product's further rows take from its first.
        group: the column whose value the rows of a product share.
    """
    first: Mapping[str, object] = {}
    previous = ""
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        value = _cell(row, group)
        if not value or value != previous:
            first, previous = row.values, value
            yield row
        elif group == id_column or not _cell(row, id_column):
            notes.add(Note.NO_VARIANT, row.line)
        else:
            notes.add(Note.INHERITED, row.line)
            yield Record(row.line, {**row.values, **{name: first.get(name) for name in inherited}}, row.content)


def _records(rows: Rows) -> Iterator[Record]:
    return (row for row in rows if isinstance(row, Record))


def _repeats(rows: Sequence[Record], name: str) -> list[bool] | None:
    """Whether each row has the value of the row before; None where a value is missing."""
    values = [_cell(row, name) for row in rows]
    return [False, *map(eq, values, values[1:])] if all(values) else None


def _cell(row: Record, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else str(value).strip()
