"""Prompts for descriptions, and the description that needs no LLM."""

from __future__ import annotations

from skutune.engines.base import Messages
from skutune.prompts.product import product_lines
from skutune.records import Product

SYSTEM = (
    "You write the catalog of a store. You answer with plain sentences only: no title, no list, no quotes, no remark "
    "before or after."
)
USER = (
    "Describe this product in {sentences} short sentences: what it is, how it is used, and whom it suits. Do not "
    "invent a brand, a price or an origin.\n\n{product}"
)


def describe(product: Product, min_sentences: int, max_sentences: int) -> Messages:
    """The messages that ask for a product's description."""
    wanted = f"{min_sentences} to {max_sentences}" if min_sentences < max_sentences else f"{max_sentences}"
    user = USER.format(sentences=wanted, product=product_lines(product))
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})


def describe_by_template(product: Product) -> str:
    """A description made of the name and the attributes alone."""
    facts = [f"Its {name.replace('_', ' ')} is {value}." for name, value in product.attributes.items()]
    return " ".join([f"{product.name} is a product of this catalog.", *facts])
