"""How a product is put into a prompt: name and attributes, one a line, the same in all prompts."""

from __future__ import annotations

from skutune.records import Product


def product_lines(product: Product) -> str:
    """`Product: NAME` and one line for each attribute."""
    lines = [f"Product: {product.name}"]
    lines += [f"{name}: {value}" for name, value in product.attributes.items()]
    return "\n".join(lines)
