"""Prompts that turn a short recommended name into a product description, for linking."""

from __future__ import annotations

from skutune.engines.base import Messages

SYSTEM = "You write the catalog of a store. You answer with plain sentences only: no title, no list, no quotes."
USER = (
    "Describe in one or two short sentences what a store sells under this name, and what it is used for.\n\n"
    "Product: {name}"
)


def expand(name: str) -> Messages:
    """The messages that ask what a name stands for."""
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": USER.format(name=name)})
