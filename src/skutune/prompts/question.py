"""Prompts for shoppers' questions: one JSON list a call, with intents dealt out."""

from __future__ import annotations

from typing import Any

from skutune.engines.base import Messages
from skutune.prompts.product import product_lines
from skutune.records import Product

INTENTS = {
    "pairing": "what would go well with a certain dish or thing",
    "meal": "what to buy for a certain meal or task",
    "diet": "what suits a certain diet, taste or need",
    "occasion": "what to bring to or prepare for a certain occasion",
    "substitute": "what to take instead of something else",
}
SYSTEM = "You think of questions that customers ask in a store. You answer with a JSON list of strings only."
USER = (
    "{product}\n\n"
    "Write {count} different questions of customers for which this product is a good answer. A question never names "
    "the product; it asks\n{asks}\n\n"
    'Example for another product: ["What can I serve with roast chicken?", "What should I buy for a quick breakfast?"]'
)


def deal(intents: tuple[str, ...], count: int) -> list[str]:
    """The intent of each of `count` questions, dealt out in turn."""
    return [intents[number % len(intents)] for number in range(count)]


def question(product: Product, intents: list[str]) -> Messages:
    """The messages that ask for one question for each intent, as a JSON list in their order."""
    asks = "\n".join(f"{number}. {INTENTS[intent]}" for number, intent in enumerate(intents, start=1))
    user = USER.format(product=product_lines(product), count=len(intents), asks=asks)
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})


def schema(count: int) -> dict[str, Any]:
    """A JSON list of `count` strings."""
    return {"type": "array", "items": {"type": "string"}, "minItems": count, "maxItems": count}
