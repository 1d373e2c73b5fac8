"""Rows that repeat a product, as exports with one row a product and category write them: merged into one product."""

from __future__ import annotations

from collections.abc import Iterator

from skutune.catalog.notes import Note, Notes
from skutune.hashing import content_key
from skutune.records import Product, Reject


def merge_duplicates(rows: Iterator[tuple[int, Product | Reject]], notes: Notes) -> Iterator[Product | Reject]:
    """The rows, each product once; memory holds all products.

    The first row's name stays; an attribute with several values lists them in the order of the rows.

    Args:
        rows: (line, row) pairs.
    """
    values: dict[str, dict[str, dict[str, None]]] = {}
    names: dict[str, str] = {}
    for line, row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        if row.id in names:
            notes.add(Note.MERGED, line)
        names.setdefault(row.id, row.name)
        attributes = values.setdefault(row.id, {})
        for attribute, value in row.attributes.items():
            attributes.setdefault(attribute, {})[value] = None
    for product_id, name in names.items():
        texts = {attribute: ", ".join(each) for attribute, each in values[product_id].items()}
        yield Product(product_id, name, texts, content_key([product_id, name, texts]))
