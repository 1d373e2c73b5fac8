"""Prompts for recommendations: a flat JSON object of short names."""

from __future__ import annotations

from typing import Any

from skutune.engines.base import Messages

SYSTEM = "You recommend products to customers of a store. You answer with JSON only."
USER = (
    "Example. Question: What goes with grilled burgers?\nProduct: Old Farm Original Potato Chips 8 oz\n"
    '{{"recommendation_1": "Potato Chips", "recommendation_2": "Pickles", "recommendation_3": "Lemonade"}}\n\n'
    "Now name {count} products that answer the question below, each in one to four words, without a brand. "
    "recommendation_1 is the product below as a shopper would call it; {others}A wish in the question, such as "
    "nut-free, stays in the name.\n\nProduct: {product}\nQuestion: {question}"
)
OTHERS = "the others are different things. "


def recommend(product_name: str, question: str, count: int) -> Messages:
    """The messages that ask for `count` names, of which the first is to be the product's."""
    user = USER.format(count=count, others=OTHERS if count > 1 else "", product=product_name, question=question)
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})


def schema(count: int) -> dict[str, Any]:
    """`{"recommendation_1": …}` with `count` names, all required. Distinctness is checked afterwards."""
    return flat_object(slots(count))


def slots(count: int) -> list[str]:
    """The keys of the object."""
    return [f"recommendation_{number}" for number in range(1, count + 1)]


def flat_object(keys: list[str]) -> dict[str, Any]:
    """A schema of an object with these string properties, all required, in this order, and no others."""
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }
