"""Coverage of the catalog by training examples and recommendations."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from skutune.evaluation.rates import Rate, rate
from skutune.records import Coverage
from skutune.report.figures import Bin, count_bins


@dataclass(frozen=True, slots=True)
class CoverageFigures:
    """Summary of the coverage table.

    `covered` are the products with enough trained questions, of those that are not held out; `bins` count these
    products by their trained questions, those with enough marked. `recommended` are the products that any trained
    answer names. `shortest` and `commonest` are the ends of the ledger.
    """

    covered: Rate
    held_out: int
    recommended: Rate
    bins: list[Bin]
    shortest: list[Coverage]
    commonest: list[Coverage]


def tally_coverage(rows: Iterable[Coverage], min_examples: int, listed: int) -> CoverageFigures:
    """Count the ledger's rows; keeps no more than the listed ones."""
    trained: Counter[int] = Counter()
    short = held_out = recommended = total = 0
    shortest: list[tuple[int, int, Coverage]] = []
    commonest: list[tuple[int, int, Coverage]] = []
    for place, row in enumerate(rows):
        total += 1
        recommended += row.references > 0
        held_out += row.held_out
        short += row.short
        if row.references:
            _keep(commonest, (row.references, -place, row), listed)
        if row.short:
            _keep(shortest, (-row.examples, -place, row), listed)
        if not row.held_out:
            trained[row.examples] += 1
    return CoverageFigures(
        covered=rate(total - held_out - short, total - held_out),
        held_out=held_out,
        recommended=rate(recommended, total),
        bins=count_bins(trained, lambda number: number >= min_examples),
        shortest=[row for _, _, row in sorted(shortest, reverse=True)],
        commonest=[row for _, _, row in sorted(commonest, reverse=True)],
    )


def _keep(heap: list[tuple[int, int, Coverage]], entry: tuple[int, int, Coverage], most: int) -> None:
    """Keep the largest entries; the place before the row makes every entry comparable."""
    if len(heap) < most:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)
