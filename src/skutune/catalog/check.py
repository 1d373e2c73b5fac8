"""A catalog before a run: usable products, rejects, what was changed while reading, and suspicions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skutune.catalog.notes import Note, Notes
from skutune.catalog.rows import SHOWN_REJECTS, read, reject_problem
from skutune.catalog.suspicions import AttributeSummary, Statistics
from skutune.config.schema import CatalogConfig
from skutune.errors import InputError, Problem
from skutune.records import Product, Reject

KEPT_REJECTS = 1000
"""Rejects kept in a report; all are counted."""


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change to rows while reading: how many rows, and the first of their lines."""

    note: str
    rows: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """Statistics of a catalog.

    Attributes:
        dialect: encoding and delimiter.
        group: the column whose value a product's variants share; None without variants.
        duplicate_names: products whose name an earlier product has.
        changes: what was changed or left out while reading.
        suspicions: one sentence each.
        usable: whether a run would accept this catalog.
    """

    dialect: str
    group: str | None
    products: int
    rejected: int
    rejects: tuple[Reject, ...]
    max_rejects: int
    attributes: dict[str, AttributeSummary]
    duplicate_names: int
    longest_name: str
    changes: tuple[Change, ...]
    suspicions: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether a run would accept this catalog."""
        return self.rejected <= self.max_rejects


def check(path: Path, config: CatalogConfig) -> CatalogReport:
    """Read the whole catalog.

    Raises:
        InputError: the file cannot be read to its end, or has no product.
    """
    reader = read(path, config)
    statistics = Statistics(config.columns, reader.attributes)
    rejects: list[Reject] = []
    rejected = 0
    for row in reader:
        if isinstance(row, Product):
            statistics.add(row)
            continue
        rejected += 1
        if len(rejects) < KEPT_REJECTS:
            rejects.append(row)
    return CatalogReport(
        dialect=reader.dialect,
        group=reader.group,
        products=statistics.products,
        rejected=rejected,
        rejects=tuple(rejects),
        max_rejects=config.allowed_rejects(statistics.products + rejected),
        attributes=statistics.attributes(),
        duplicate_names=statistics.duplicate_names,
        longest_name=statistics.longest_name,
        changes=tuple(
            Change(note.value, reader.notes.counts[note], tuple(reader.notes.lines[note]))
            for note in Note
            if note in reader.notes.counts
        ),
        suspicions=(*_empty_parts(reader.notes, statistics.products), *statistics.suspicions()),
    )


def _empty_parts(notes: Notes, products: int) -> list[str]:
    return [
        f"the name lacks {{{column}}} in {rows:,} of {products:,} products; names without it may be ambiguous"
        for column, rows in notes.empty_parts.items()
    ]


def raise_if_rejected(rejects: Sequence[Reject], rejected: int, rows: int, config: CatalogConfig, path: Path) -> None:
    """Raise InputError with the first rejects if there are more than allowed.

    Args:
        rejects: the first ones.
        rejected: the number of all.
        rows: products and rejects.
    """
    allowed = config.allowed_rejects(rows)
    if rejected <= allowed:
        return
    shown = [reject_problem(reject, path) for reject in rejects[:SHOWN_REJECTS]]
    if rejected > len(shown):
        shown.append(Problem("", f"and {rejected - len(shown):,} more"))
    these = "1 row was rejected" if rejected == 1 else f"{rejected:,} rows were rejected"
    limit = "none" if allowed == 0 else f"{allowed:,}"
    raise InputError(
        f"catalog {path}: {these}, {limit} allowed; fix them or raise catalog.max_rejects to {rejected}", shown
    )
