"""Deterministic choice of a product for each recommended name of an answer.

The source slot gets its source product, whatever its rank, if the linker accepts it. Among near-ties of the other names
a hash of (question, product) decides, so that equal products are recommended equally often and a repeated run makes the
same choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.hashing import bucket_hash, unit_hash
from skutune.records import Candidate, Link, Recommendation
from skutune.text import normalise_name


@dataclass(frozen=True, slots=True)
class Pick:
    """A recommended name and its product; None: no close product."""

    name: str
    product: Candidate | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The picks of one answer, in display order, or the reason why it is rejected."""

    picks: tuple[Pick, ...]
    rejected: str | None = None


class LinkTable:
    """Candidates and accepted sources by normalised name, for the whole table of links.

    Memory: 24 bytes per name, 8 per candidate and 16 per accepted source, and each product's id and name once.
    """

    def __init__(self, links: Iterable[Link]) -> None:
        products: dict[tuple[str, str], int] = {}
        hashes, counts, indices, probabilities = [], [], [], []
        pairs, source_indices, source_probabilities = [], [], []
        for link in links:
            hashes.append(bucket_hash(link.normalised))
            counts.append(len(link.candidates))
            for candidate in link.candidates:
                indices.append(products.setdefault((candidate.id, candidate.name), len(products)))
                probabilities.append(candidate.p)
            for source in link.sources:
                if source.accepted:
                    pairs.append(_pair_hash(link.normalised, source.id))
                    source_indices.append(products.setdefault((source.id, source.name), len(products)))
                    source_probabilities.append(source.p)
        self._products = list(products)
        order = np.argsort(np.array(hashes, dtype=np.uint64), kind="stable")
        self._hashes = np.array(hashes, dtype=np.uint64)[order]
        starts = np.concatenate([[0], np.cumsum(np.array(counts, dtype=np.int64))])
        self._starts, self._counts = starts[:-1][order], np.array(counts, dtype=np.int64)[order]
        self._indices = np.array(indices, dtype=np.int32)
        self._probabilities = np.array(probabilities, dtype=np.float32)
        order = np.argsort(np.array(pairs, dtype=np.uint64), kind="stable")
        self._pairs = np.array(pairs, dtype=np.uint64)[order]
        self._source_indices = np.array(source_indices, dtype=np.int32)[order]
        self._source_probabilities = np.array(source_probabilities, dtype=np.float32)[order]

    def candidates(self, name: str) -> list[Candidate]:
        """The candidates of a recommended name, best first; empty without a close product."""
        place = _place(self._hashes, bucket_hash(normalise_name(name)))
        if place is None:
            return []
        start, count = int(self._starts[place]), int(self._counts[place])
        return [self._candidate(self._indices[at], self._probabilities[at]) for at in range(start, start + count)]

    def source(self, name: str, product_id: str) -> Candidate | None:
        """The source product of a name; None if the linker does not accept it."""
        place = _place(self._pairs, _pair_hash(normalise_name(name), product_id))
        if place is None:
            return None
        return self._candidate(self._source_indices[place], self._source_probabilities[place])

    def _candidate(self, product: np.int32, p: np.float32) -> Candidate:
        product_id, name = self._products[product]
        return Candidate(product_id, name, float(p))


def _pair_hash(normalised: str, product_id: str) -> int:
    return bucket_hash(f"{normalised}\n{product_id}")  # neither holds a line break


def _place(hashes: NDArray[np.uint64], wanted: int) -> int | None:
    """The index of a hash in a sorted array, or None."""
    place = int(np.searchsorted(hashes, np.uint64(wanted)))
    return place if place < len(hashes) and int(hashes[place]) == wanted else None


def choose(recommendation: Recommendation, links: LinkTable, unlinked_share: float) -> Chosen:
    """Choose the products of one recommendation.

    Without an accepted source product the recommendation is rejected. A name whose candidates are all taken is left
    out, as is a name without candidates, except for a share that is kept as `no close product`.
    """
    question, source_id = recommendation.question_id, recommendation.product_id
    source_name = recommendation.names[recommendation.source_slot]
    source = links.source(source_name, source_id)
    if source is None:
        return Chosen((), f"the linker does not accept the source product for {source_name!r}")
    picks, taken = [Pick(source_name, source)], {source_id}
    for slot, name in enumerate(recommendation.names):
        if slot == recommendation.source_slot:
            continue
        candidates = links.candidates(name)
        free = [candidate for candidate in candidates if candidate.id not in taken]
        if free:
            best = max(free, key=lambda candidate: unit_hash(question, candidate.id))
            taken.add(best.id)
            picks.append(Pick(name, best))
        elif not candidates and unit_hash("unlinked", question, name) < unlinked_share:
            picks.append(Pick(name, None))
    return Chosen(tuple(sorted(picks, key=lambda pick: unit_hash("order", question, pick.name))))
