"""Prompt for product descriptions, and a template-based description that needs no LLM."""

from __future__ import annotations

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat
from skutune.prompts.product import product_lines
from skutune.records import Product

SYSTEM = (
    "You write the catalog of a store. You answer with plain sentences only: no title, no list, no quotes, and nothing "
    "about brand, price or origin."
)
USER = "{product}\nDescribe it in {sentences} short sentences: what it is, how it is used, and whom it suits."
EXAMPLES = (
    (
        USER.format(product="Product: Potato Salad", sentences="3"),
        "Potato salad is a cold side dish of boiled potatoes in a creamy dressing. It is served beside grilled meat or "
        "eaten as a light lunch. It suits picnics and everybody who likes a mild and filling dish.",
    ),
    (
        USER.format(product="Product: AA Batteries", sentences="3"),
        "AA batteries are small cells that power toys, clocks and remote controls. They are put into the device and "
        "changed when they are empty. They suit every household that wants a spare at hand.",
    ),
)


def describe(product: Product, min_sentences: int, max_sentences: int) -> Messages:
    """The messages that request a product's description."""
    sentences = f"{min_sentences} to {max_sentences}" if min_sentences < max_sentences else f"{max_sentences}"
    return chat(SYSTEM, EXAMPLES, USER.format(sentences=sentences, product=product_lines(product)))


def describe_by_template(product: Product) -> str:
    """A description built from the name and the attributes alone."""
    facts = [f"Its {name.replace('_', ' ')} is {value}." for name, value in product.attributes.items()]
    return " ".join([f"{product.name} is a product of this catalog.", *facts])
