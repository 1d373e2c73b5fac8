"""Prompt that expands a short recommended name into a product description, for linking."""

from __future__ import annotations

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat

SYSTEM = "You write the catalog of a store. You answer with plain sentences only: no title, no list, no quotes."
USER = "Product: {name}\nSay in one or two short sentences what {name} is and what it is used for."
EXAMPLES = (
    (
        USER.format(name="Pickles"),
        "Pickles are cucumbers kept in vinegar with salt and spices. They are eaten as a sour side or on sandwiches.",
    ),
    (
        USER.format(name="Dish Soap"),
        "Dish soap is a liquid that dissolves grease. It is used to wash plates and pans by hand.",
    ),
)


def expand(name: str) -> Messages:
    """The messages that ask what a name refers to."""
    return chat(SYSTEM, EXAMPLES, USER.format(name=name))
