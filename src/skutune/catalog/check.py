"""Statistics of a catalog before a run: usable products, rejects, attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skutune.catalog.rows import SHOWN_REJECTS, read, reject_problem
from skutune.config.schema import Columns
from skutune.errors import InputError, Problem
from skutune.hashing import unit_hash
from skutune.records import Product, Reject
from skutune.text import normalise_name

KEPT_REJECTS = 1000
"""Rejects kept in a report; all are counted."""

COUNTED_VALUES = 1000
"""Distinct values of an attribute are counted up to this number."""


@dataclass(frozen=True, slots=True)
class AttributeSummary:
    """How many products have the attribute, and its number of distinct values (`capped`: a lower bound)."""

    filled: int
    distinct: int
    capped: bool


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """Statistics of a catalog. `duplicate_names` counts the products whose name an earlier product has."""

    products: int
    rejected: int
    rejects: tuple[Reject, ...]
    max_rejects: int
    attributes: dict[str, AttributeSummary]
    duplicate_names: int
    longest_name: str

    @property
    def usable(self) -> bool:
        """Whether a run would accept this catalog."""
        return self.rejected <= self.max_rejects


def check(path: Path, columns: Columns, max_rejects: int = 0) -> CatalogReport:
    """Read the whole catalog.

    Raises:
        InputError: the file cannot be read to its end, or has no product.
    """
    counts = _Counts(columns)
    for row in read(path, columns):
        counts.add(row)
    return counts.report(max_rejects)


def raise_if_rejected(rejects: Sequence[Reject], max_rejects: int, path: Path, rejected: int | None = None) -> None:
    """Raise InputError with the first rejects if there are more than allowed.

    `rejected` is the total number if `rejects` has only the first ones.
    """
    count = len(rejects) if rejected is None else rejected
    if count <= max_rejects:
        return
    shown = [reject_problem(reject, path) for reject in rejects[:SHOWN_REJECTS]]
    if count > len(shown):
        shown.append(Problem("", f"and {count - len(shown):,} more"))
    rows = "1 row was rejected" if count == 1 else f"{count:,} rows were rejected"
    allowed = "none" if max_rejects == 0 else f"{max_rejects:,}"
    raise InputError(
        f"catalog {path}: {rows}, {allowed} allowed; fix them or raise catalog.max_rejects to {count}", shown
    )


class _Counts:
    """Counts over a stream of rows; memory grows by one number per product."""

    def __init__(self, columns: Columns) -> None:
        self._products = self._rejected = self._duplicates = 0
        self._rejects: list[Reject] = []
        self._names: set[float] = set()
        self._filled = dict.fromkeys(columns.attributes or (), 0)
        self._values: dict[str, set[str]] = {}
        self._longest = ""

    def add(self, row: Product | Reject) -> None:
        if isinstance(row, Product):
            self._add_product(row)
            return
        self._rejected += 1
        if len(self._rejects) < KEPT_REJECTS:
            self._rejects.append(row)

    def report(self, max_rejects: int) -> CatalogReport:
        return CatalogReport(
            products=self._products,
            rejected=self._rejected,
            rejects=tuple(self._rejects),
            max_rejects=max_rejects,
            attributes={attribute: self._summary(attribute) for attribute in self._filled},
            duplicate_names=self._duplicates,
            longest_name=self._longest,
        )

    def _add_product(self, product: Product) -> None:
        self._products += 1
        self._longest = max(self._longest, product.name, key=len)
        name = unit_hash(normalise_name(product.name))
        self._duplicates += name in self._names
        self._names.add(name)
        for attribute, value in product.attributes.items():
            self._filled[attribute] = self._filled.get(attribute, 0) + 1
            values = self._values.setdefault(attribute, set())
            if len(values) < COUNTED_VALUES:
                values.add(value)

    def _summary(self, attribute: str) -> AttributeSummary:
        distinct = len(self._values.get(attribute, ()))
        return AttributeSummary(self._filled[attribute], distinct, distinct >= COUNTED_VALUES)
