"""What a person should look at in a catalog that can be read: facts that are rarely meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from skutune.config.schema import Columns
from skutune.hashing import unit_hash
from skutune.records import Product
from skutune.text import normalise_name

COUNTED_VALUES = 1000
"""Distinct values of an attribute are counted up to this number."""

_SHARED_NAME = 10
"""From this many products on, a name that they share is reported."""
_FEW_PRODUCTS = 20
"""In fewer products, columns of one value or of all different values say nothing."""
_DECIMAL_ID = re.compile(r"\d+\.0")


@dataclass(frozen=True, slots=True)
class AttributeSummary:
    """How many products have the attribute, and its number of distinct values (`capped`: a lower bound)."""

    filled: int
    distinct: int
    capped: bool


class Statistics:
    """Counts over the products of a catalog; memory grows by two numbers a product."""

    def __init__(self, columns: Columns, attributes: Sequence[str]) -> None:
        self.products = self.duplicate_names = 0
        self.longest_name = ""
        self._columns = columns
        self._names: Counter[float] = Counter()
        self._shared: dict[float, str] = {}
        self._filled = dict.fromkeys(attributes, 0)
        self._values: dict[str, set[str]] = {}
        self._repeating: set[str] = set()
        self._decimal_ids = 0

    def add(self, product: Product) -> None:
        """Count a product."""
        self.products += 1
        self.longest_name = max(self.longest_name, product.name, key=len)
        self._decimal_ids += _DECIMAL_ID.fullmatch(product.id) is not None
        name = unit_hash(normalise_name(product.name))
        self._names[name] += 1
        if self._names[name] > 1:
            self.duplicate_names += 1
            self._shared.setdefault(name, product.name)
        for attribute, value in product.attributes.items():
            self._filled[attribute] = self._filled.get(attribute, 0) + 1
            values = self._values.setdefault(attribute, set())
            if value in values:
                self._repeating.add(attribute)
            elif len(values) < COUNTED_VALUES:
                values.add(value)

    def attributes(self) -> dict[str, AttributeSummary]:
        """The summary of each attribute, in the order of the columns."""
        return {name: self._summary(name) for name in self._filled}

    def suspicions(self) -> tuple[str, ...]:
        """One sentence for each suspicious fact, with what to do."""
        return (*self._of_ids(), *self._of_names(), *self._of_attributes())

    def _summary(self, attribute: str) -> AttributeSummary:
        distinct = len(self._values.get(attribute, ()))
        return AttributeSummary(self._filled[attribute], distinct, distinct >= COUNTED_VALUES)

    def _of_ids(self) -> list[str]:
        if self.products and self._decimal_ids == self.products:
            return ['all ids end in ".0": they were exported as decimal numbers; export the column as text']
        return []

    def _of_names(self) -> list[str]:
        found = []
        if self._names and (most := self._names.most_common(1)[0])[1] >= _SHARED_NAME:
            found.append(
                f"{most[1]:,} products share the name {self._shared[most[0]]!r}; add columns to the name: "
                '--name "{brand} {name} {size}"'
            )
        return found

    def _of_attributes(self) -> list[str]:
        if self.products < _FEW_PRODUCTS:
            return []
        found = []
        for name, summary in self.attributes().items():
            if summary.filled == self.products and summary.distinct == 1:
                found.append(f"{name}: the same value for all products; leave it out of the attributes")
            elif summary.filled > 0.9 * self.products and name not in self._repeating:
                found.append(f"{name}: a different value for each product; leave it out if it is a code or a link")
        return found
