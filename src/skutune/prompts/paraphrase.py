"""Prompts for variants of a description. The style changes with the call's number, so that greedy models vary too."""

from __future__ import annotations

from skutune.engines.base import Messages
from skutune.records import Product

SYSTEM = "You reword texts. You answer with the new text only: plain sentences, no title, no list, no quotes."
USER = (
    "Product: {name}\nText: {text}\n\nSay the same about the same product in other words, in 2 to 4 sentences, {style}."
)
STYLES = (
    "as a friend would tell it",
    "in short, sober sentences",
    "starting with how it is used",
    "as a cook or an expert would put it",
    "for somebody who has never heard of it",
    "starting with whom it suits",
    "in a lively tone",
)


def paraphrase(product: Product, text: str, number: int) -> Messages:
    """The messages that ask for variant `number` (from 1) of a description."""
    style = STYLES[(number - 1) % len(STYLES)]
    user = USER.format(name=product.name, text=text, style=style)
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})
