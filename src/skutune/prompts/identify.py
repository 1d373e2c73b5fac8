"""The short training examples that tie a description to its product's id."""

from __future__ import annotations

from skutune.answer_format import Reference
from skutune.prompts.chat_template import Messages

USER = "Which product is this? {description}"


def identify_messages(description: str) -> Messages:
    """The messages that ask which product a description is about."""
    return ({"role": "user", "content": USER.format(description=description)},)


def render_identity(product: Reference) -> str:
    """The completion: `NAME: id ID`."""
    return f"{product.name}: id {product.id}"


def parse_identity(text: str) -> Reference | None:
    """The product that a completion names, or None where it is no `NAME: id ID`."""
    name, separator, product_id = text.strip().rpartition(": id ")
    return Reference(product_id, name) if separator else None


def description_of(prompt: str) -> str:
    """The description that `identify_messages` wrote into its message."""
    before, _, after = USER.partition("{description}")
    return prompt.removeprefix(before).removesuffix(after)
