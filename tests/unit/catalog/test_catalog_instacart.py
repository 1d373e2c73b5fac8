"""The real catalog of 49,688 products is read whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from skutune.catalog import check, read
from skutune.records import Product
from skutune.text import fold
from tests.catalog_settings import catalog_config

COLUMNS = catalog_config(id="product_id", name="product_name", attributes=("aisle", "department"))

WITHOUT_ENTITIES = {
    "35348": "L'OrÉAl® Paris Pure Clay Mask Detox & Brighten 1.7 Oz",
    "36421": "Reg; Quinoa Corn & Roasted Pepper Granola Bars Pack Of 10",
    "37093": "L'OrÉAl® Paris Revitalift® Bright Reveal Brightening Peel Pads 30 Count",
    "44425": "Reg; Basil White Bean & Olive Oil Granola Bars Pack Of 10",
}
"""The names with HTML entities in the file, as they are read."""


def test_every_product_is_read_in_the_order_of_the_file(instacart, instacart_csv: Path) -> None:
    rows = list(read(instacart_csv, COLUMNS))
    assert len(rows) == 49_688
    assert all(isinstance(row, Product) and isinstance(row.id, str) for row in rows)
    expected = [
        (number, WITHOUT_ENTITIES.get(number, fold(name)), {"aisle": aisle, "department": department})
        for number, name, aisle, department in instacart
    ]
    assert [(row.id, row.name, row.attributes) for row in rows] == expected


def test_its_report_finds_nothing_wrong(instacart_csv: Path) -> None:
    report = check(instacart_csv, COLUMNS)
    assert (report.products, report.rejected) == (49_688, 0)
    assert report.usable
    assert report.attributes["aisle"].distinct == 134
    assert report.attributes["department"].distinct == 21
    assert [(change.rows, change.lines) for change in report.changes] == [(4, (35349, 36422, 37094, 44426))]
    assert report.suspicions == ()


def test_reading_holds_the_ids_and_not_the_rows(instacart_csv: Path) -> None:
    tracemalloc.start()
    try:
        products = sum(1 for _ in read(instacart_csv, COLUMNS))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * products, "an id and its line take some 150 bytes; a product several times as much"
