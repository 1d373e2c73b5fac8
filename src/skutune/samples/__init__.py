"""The packaged sample catalog and its config, for the demo and for tests.

`CREDITS.md` beside this file says where the products come from.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from skutune.errors import InputError

SAMPLE_PRODUCTS = 16
"""Products in the sample catalog; the first ones go well with a chicken fried steak."""

DEMO_QUESTION = "What would go well with a chicken fried steak?"


def grocery_csv() -> str:
    """The sample catalog: columns product_id, product_name, aisle and department."""
    return _text("grocery.csv")


def demo_config() -> str:
    """The demo's config as YAML. It expects `grocery.csv` beside it; its models are names for the caller to replace."""
    return _text("demo.yaml")


def write_sample(path: Path, products: int = SAMPLE_PRODUCTS) -> None:
    """Write the first products of the sample catalog as a csv file.

    Raises:
        InputError: the sample has fewer products, or none is wanted.
    """
    if not 1 <= products <= SAMPLE_PRODUCTS:
        raise InputError(f"the sample catalog has 1 to {SAMPLE_PRODUCTS} products, not {products}")
    lines = grocery_csv().splitlines(keepends=True)
    path.write_text("".join(lines[: products + 1]), encoding="utf-8", newline="")


def verdicts() -> str:
    """Human verdicts on the sample catalog, as JSON lines, to compare the demo's judge with."""
    return _text("verdicts.jsonl")


def _text(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")
