"""A product in a prompt: name and attributes, one per line, the same in all prompts."""

from __future__ import annotations

from skutune.records import Product


def product_lines(product: Product) -> str:
    """`Product: NAME`, then one line for each attribute."""
    lines = [f"Product: {product.name}"]
    lines += [f"{name}: {value}" for name, value in product.attributes.items()]
    return "\n".join(lines)
