"""Prompt for shoppers' questions: one JSON list per call, with one intent for each question."""

from __future__ import annotations

import json
from typing import Any

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat
from skutune.prompts.json_schema import QUESTION, text
from skutune.prompts.product import product_lines
from skutune.records import Product

INTENTS = {
    "pairing": "what goes with a certain thing",
    "meal": "what to get for a certain meal or task",
    "diet": "what suits a certain diet, taste or need",
    "occasion": "what to bring to a certain occasion",
    "substitute": "what to take instead of something else",
}
SYSTEM = "You write down the questions that customers ask in a store. You answer with a JSON list of strings."
USER = (
    "{product}\nWrite {count} questions of customers that this product answers. Never name the product. Ask, in this "
    "order: {asks}."
)
EXAMPLES = (
    (
        USER.format(
            product="Product: Potato Salad",
            count=4,
            asks="; ".join(INTENTS[intent] for intent in ("pairing", "occasion", "diet", "meal")),
        ),
        json.dumps(
            [
                "What should I serve with grilled chicken on a hot day?",
                "Which side dish can I bring to a picnic in the park?",
                "I do not like it spicy, which mild dish fills me up?",
                "What can I get for a quick lunch at work?",
            ]
        ),
    ),
    (
        USER.format(
            product="Product: Tortilla Chips",
            count=4,
            asks="; ".join(INTENTS[intent] for intent in ("pairing", "meal", "diet", "substitute")),
        ),
        json.dumps(
            [
                "What can I dip into fresh salsa?",
                "What do I need for a movie night with the family?",
                "Can you name something crunchy without gluten?",
                "What could I take instead of bread with my soup?",
            ]
        ),
    ),
)


def assign_intents(intents: tuple[str, ...], count: int) -> list[str]:
    """The intent of each of `count` questions, assigned round-robin."""
    return [intents[number % len(intents)] for number in range(count)]


def question(product: Product, intents: list[str]) -> Messages:
    """The messages that request one question for each intent, as a JSON list in the same order."""
    asks = "; ".join(INTENTS[intent] for intent in intents)
    return chat(SYSTEM, EXAMPLES, USER.format(product=product_lines(product), count=len(intents), asks=asks))


def schema(count: int) -> dict[str, Any]:
    """JSON Schema of a list of `count` questions."""
    return {"type": "array", "items": text(QUESTION), "minItems": count, "maxItems": count}
