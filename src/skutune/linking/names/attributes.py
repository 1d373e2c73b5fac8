"""What the attributes of a product say of it: words, constraints that it meets or does not, and measures.

A column may be a constraint by itself: `gluten_free: yes` promises what a shelf "gluten free" does, `contains_nuts: no`
as well, and `gluten_free: no` denies it, whatever the name says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skutune.linking.names import sizes
from skutune.linking.names.phrase import read_phrase, stated_by
from skutune.linking.names.sizes import Size
from skutune.records import Product
from skutune.text import words

_YES, _NO = frozenset(words("yes y true t 1")), frozenset(words("no n false f 0"))
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|_")  # glutenFree, gluten_free
_CONTAINS = re.compile(r"^\s*contains?\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AttributeFacts:
    """What attributes say: terms, the constraints that are met and those that are not, measures."""

    terms: tuple[str, ...] = ()
    stated: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    sizes: frozenset[Size] = frozenset()


def read(column: str, value: str) -> AttributeFacts:
    """What one attribute says.

    >>> read("gluten_free", "yes").stated, read("glutenFree", "false").denied
    (frozenset({'gluten-free'}), frozenset({'gluten-free'}))
    """
    answer = value.strip().casefold()
    if answer in _YES or answer in _NO:
        asked = _HUMP.sub(" ", column)
        without = _CONTAINS.sub("no ", asked)
        holds = (answer in _YES) == (without == asked)
        found = read_phrase(without)
        if found.constraints:
            return AttributeFacts(stated=found.constraints) if holds else AttributeFacts(denied=found.constraints)
        if not answer.isdigit():  # a number is more often a count
            return AttributeFacts(terms=found.terms if holds else ())
    return AttributeFacts(
        terms=read_phrase(value).terms,
        stated=stated_by(value),
        sizes=sizes.sizes_of_attribute(column, value),
    )


def of(products: Sequence[Product]) -> list[AttributeFacts]:
    """What the attributes of each product say together; each distinct one is read once."""
    pairs = {pair for product in products for pair in product.attributes.items()}
    said = {pair: read(*pair) for pair in pairs}
    return [_together([said[pair] for pair in product.attributes.items()]) for product in products]


def _together(said: Sequence[AttributeFacts]) -> AttributeFacts:
    if len(said) == 1:
        return said[0]
    return AttributeFacts(
        tuple(term for each in said for term in each.terms),
        frozenset().union(*(each.stated for each in said)),
        frozenset().union(*(each.denied for each in said)),
        frozenset().union(*(each.sizes for each in said)),
    )
