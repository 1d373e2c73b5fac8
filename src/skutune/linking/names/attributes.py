"""What a product's attributes state: terms, constraints that it meets or does not meet, and sizes.

A column may be a constraint by itself: `gluten_free: yes` and `contains_gluten: no` state what the value "gluten free"
of another column does, and `gluten_free: no` denies it, whatever the name says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skutune.linking.names import sizes
from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.phrase import read_phrase, stated_by
from skutune.linking.names.sizes import Size
from skutune.records import Product

_YES, _NO = frozenset(LEXICON.yes_words), frozenset(LEXICON.no_words)
_WORD_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])|_")  # glutenFree, gluten_free
_CONTAINS = re.compile(r"^\s*contains?\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AttributeFacts:
    """What attributes state: terms, the constraints that are met and those that are not met, sizes."""

    terms: tuple[str, ...] = ()
    stated: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    sizes: frozenset[Size] = frozenset()


def read_attribute(column: str, value: str) -> AttributeFacts:
    """What one attribute states.

    >>> read_attribute("gluten_free", "yes").stated, read_attribute("glutenFree", "false").denied
    (frozenset({'gluten-free'}), frozenset({'gluten-free'}))
    """
    answer = value.strip().casefold()
    if answer in _YES or answer in _NO:
        title = _WORD_BREAK.sub(" ", column)
        claim = _CONTAINS.sub("no ", title)
        holds = (answer in _YES) == (claim == title)
        phrase = read_phrase(claim)
        if phrase.constraints:
            return AttributeFacts(stated=phrase.constraints) if holds else AttributeFacts(denied=phrase.constraints)
        if not answer.isdigit():  # a digit is more often a count than a truth value
            return AttributeFacts(terms=phrase.terms if holds else ())
    return AttributeFacts(
        terms=read_phrase(value).terms,
        stated=stated_by(value),
        sizes=sizes.sizes_of_attribute(column, value),
    )


def read_attributes(products: Sequence[Product]) -> list[AttributeFacts]:
    """What all attributes of each product state; each distinct attribute is read once."""
    pairs = {pair for product in products for pair in product.attributes.items()}
    facts = {pair: read_attribute(*pair) for pair in pairs}
    return [_merge([facts[pair] for pair in product.attributes.items()]) for product in products]


def _merge(facts: Sequence[AttributeFacts]) -> AttributeFacts:
    if len(facts) == 1:
        return facts[0]
    return AttributeFacts(
        tuple(term for each in facts for term in each.terms),
        frozenset().union(*(each.stated for each in facts)),
        frozenset().union(*(each.denied for each in facts)),
        frozenset().union(*(each.sizes for each in facts)),
    )
