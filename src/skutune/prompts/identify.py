"""Prompt and completion of the short training examples that map a description to a product id."""

from __future__ import annotations

from skutune.answer_format import Reference
from skutune.prompts.chat_template import Messages

USER = "Which product is this? {description}"


def identify_messages(description: str) -> Messages:
    """The messages that ask which product a description belongs to."""
    return ({"role": "user", "content": USER.format(description=description)},)


def render_identity(product: Reference) -> str:
    """The completion: `NAME: id ID`."""
    return f"{product.name}: id {product.id}"


def parse_identity(text: str) -> Reference | None:
    """Parse a completion; None unless it has the form `NAME: id ID`."""
    name, separator, product_id = text.strip().rpartition(": id ")
    return Reference(product_id, name) if separator else None


def description_of(prompt: str) -> str:
    """The description in a message of `identify_messages`."""
    before, _, after = USER.partition("{description}")
    return prompt.removeprefix(before).removesuffix(after)
