"""Prompt for an LLM judge: is a recommended product a good answer to a shopper's question?"""

from __future__ import annotations

from typing import Any

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat

RUBRIC = (
    "A recommendation is good if a customer who asked the question would take the product as an answer or as a part "
    "of it, and if the product keeps every wish in the question, such as nut-free. It is bad if the product has "
    "nothing to do with what was asked, if it is only what the customer has already, or if it breaks a wish."
)
SYSTEM = "You check what a store recommends to its customers. " + RUBRIC + " You answer with JSON."
USER = "Question: {question}\nRecommended product: {product}\nIs the recommendation good?"
EXAMPLES = tuple(
    (USER.format(question=question, product=product), '{"good": "' + verdict + '"}')
    for question, product, verdict in (
        # Negative examples come first: small models repeat the last verdict, and after a "no" they reject everything.
        ("Which snack can I give a child with a nut allergy?", "Honey Roasted Peanuts", "no"),
        ("What goes with grilled burgers?", "Lavender Laundry Detergent", "no"),
        ("What can I drink with breakfast?", "Orange Juice, No Pulp", "yes"),
        ("What goes with grilled burgers?", "Old Farm Original Potato Chips 8 oz", "yes"),
        ("Which fruit can I pack for school?", "Gala Apples", "yes"),
    )
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"good": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["good"],
    "additionalProperties": False,
}


def judge(question: str, product_name: str) -> Messages:
    """The messages that request a verdict on one recommended product."""
    return chat(SYSTEM, EXAMPLES, USER.format(question=question, product=product_name))
