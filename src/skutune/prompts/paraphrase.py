"""Prompt for paraphrasing a description. Its style follows the variant's number, so that greedy decoding varies too."""

from __future__ import annotations

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat
from skutune.records import Product

SYSTEM = "You reword texts. You answer with the new text only: plain sentences, no title, no list, no quotes."
USER = "Product: {name}\nText: {text}\nSay the same about {name} in other words, in 2 or 3 sentences, {style}."
STYLES = (
    "starting with how it is used",
    "in short and sober sentences",
    "starting with whom it suits",
    "in a lively tone",
    "for somebody who has never heard of it",
    "as an expert would put it",
    "as a friend would tell it",
)
EXAMPLES = (
    (
        USER.format(
            name="Potato Salad",
            text="Potato salad is a cold side dish of boiled potatoes in a creamy dressing. It suits picnics.",
            style=STYLES[0],
        ),
        "Take potato salad along to a picnic or put it next to the main dish. It is made of boiled potatoes that are "
        "served cold in a creamy dressing.",
    ),
    (
        USER.format(
            name="AA Batteries",
            text="AA batteries are small cells that power toys and remote controls. They suit every household.",
            style=STYLES[1],
        ),
        "AA batteries keep small devices running. Toys and remote controls need them, and so does every home.",
    ),
)


def paraphrase(product: Product, text: str, number: int) -> Messages:
    """The messages that request variant `number` (from 1) of a description."""
    style = STYLES[(number - 1) % len(STYLES)]
    return chat(SYSTEM, EXAMPLES, USER.format(name=product.name, text=text, style=style))
