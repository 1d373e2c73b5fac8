"""Prompt for recommendations: a flat JSON object of short names."""

from __future__ import annotations

from typing import Any

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat
from skutune.prompts.json_schema import NAME, flat_object

SYSTEM = (
    "You recommend products to customers of a store. You answer with JSON. A wish in the question, such as "
    "nut-free, stays in the name."
)
USER = (
    "Question: {question}\nProduct: {product}\nName {count} to buy, in one to four words each, without a brand: first "
    "{product} as a shopper would call it{others}."
)
EXAMPLES = tuple(
    (
        USER.format(
            question=question, product=product, count=2, others=", then something different that answers the question"
        ),
        '{"recommendation_1": "' + first + '", "recommendation_2": "' + second + '"}',
    )
    for question, product, first, second in (
        (
            "I eat no sugar, what can I drink?",
            "Sunny Valley Lemon Tea No Sugar",
            "Sugar-Free Lemon Tea",
            "Mineral Water",
        ),
        ("What goes with grilled burgers?", "Old Farm Original Potato Chips 8 oz", "Potato Chips", "Pickles"),
        ("What can I serve for dessert on Sunday?", "Apple Pie", "Apple Pie", "Vanilla Ice Cream"),
    )
)


def recommend(product_name: str, question: str, count: int) -> Messages:
    """The messages that request `count` names, the first of which should refer to the product."""
    others = {1: "", 2: ", then something different that answers the question"}.get(
        count, f", then {count - 1} different things that answer the question"
    )
    user = USER.format(question=question, product=product_name, count=count, others=others)
    return chat(SYSTEM, EXAMPLES, user)


def schema(count: int) -> dict[str, Any]:
    """JSON Schema of `{"recommendation_1": …}` with `count` names, all required; repetitions are removed afterwards."""
    return flat_object(slots(count), NAME)


def slots(count: int) -> list[str]:
    """The keys of the JSON object."""
    return [f"recommendation_{number}" for number in range(1, count + 1)]
