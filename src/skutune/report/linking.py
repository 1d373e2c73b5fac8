"""Statistics of linked names."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from skutune.evaluation.rates import Rate, rate
from skutune.records import Link
from skutune.report.figures import Bin, unit_bins


@dataclass(frozen=True, slots=True)
class UnlinkedName:
    """A name without a close product: how often it was recommended, and P(acceptable) of the best candidate."""

    name: str
    count: int
    best_p: float


@dataclass(frozen=True, slots=True)
class Linking:
    """Linked names: `names` counts each distinct name once, `recommendations` as often as it was recommended.

    `bins` are the distinct names by P(acceptable) of their best candidate, the linked ones marked; `candidates` is the
    mean number of candidates of a linked name.
    """

    names: Rate
    recommendations: Rate
    bins: list[Bin]
    candidates: float | None
    unlinked: list[UnlinkedName]


def tally_links(links: Iterable[tuple[Link, int]], listed: int) -> Linking:
    """Count links, each with how often its name was recommended; list the commonest names without a product."""
    names = linked = occurrences = linked_occurrences = candidates = 0
    points: list[tuple[float, bool]] = []
    unlinked: list[tuple[int, str, float]] = []
    for link, count in links:
        found = bool(link.candidates)
        names, occurrences = names + 1, occurrences + count
        points.append((link.best_p, found))
        if found:
            linked, linked_occurrences = linked + 1, linked_occurrences + count
            candidates += len(link.candidates)
        else:
            entry = (count, link.name, link.best_p)
            (heapq.heappush if len(unlinked) < listed else heapq.heappushpop)(unlinked, entry)
    return Linking(
        names=rate(linked, names),
        recommendations=rate(linked_occurrences, occurrences),
        bins=unit_bins(points),
        candidates=candidates / linked if linked else None,
        unlinked=[
            UnlinkedName(name, count, p) for count, name, p in sorted(unlinked, key=lambda each: (-each[0], each[1]))
        ],
    )
