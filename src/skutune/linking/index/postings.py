"""Posting lists: the arrays behind the lexical index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Postings:
    """The sorted products of each term t: `products[starts[t]:starts[t + 1]]`."""

    starts: Ints
    products: NDArray[np.int32]
    keys: Ints  # term × products + product, ascending: one search answers "does product p hold term t?"

    @classmethod
    def build(cls, terms: Sequence[Sequence[int]], vocabulary: int) -> Postings:
        """Build them from the term ids of each product."""
        size = max(len(terms), 1)
        pairs = [term * size + product for product, held in enumerate(terms) for term in set(held)]
        keys = np.sort(np.asarray(pairs, dtype=np.int64))
        starts = np.searchsorted(keys, np.arange(vocabulary + 1, dtype=np.int64) * size)
        return cls(starts.astype(np.int64), (keys % size).astype(np.int32), keys)

    @classmethod
    def restore(cls, starts: Ints, products: NDArray[np.int32], size: int) -> Postings:
        """Restore them from saved arrays, for a catalog of `size` products."""
        terms = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return cls(starts, products, (terms * max(size, 1) + products).astype(np.int64))

    def of(self, term: int) -> NDArray[np.int32]:
        """The products of a term."""
        return self.products[self.starts[term] : self.starts[term + 1]]

    def holds(self, terms: Ints, products: Ints, size: int) -> NDArray[np.bool_]:
        """Whether each product has its term: terms (-1: none) and products of shape (p,), result of shape (p,)."""
        if not len(self.keys):
            return np.zeros(len(terms), dtype=bool)
        wanted = terms * max(size, 1) + products
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.asarray((self.keys[places] == wanted) & (terms >= 0))


class Lookup:
    """Products by signature."""

    def __init__(self, *numbers: Ints) -> None:
        """Each of shape (n,); 0 is no signature."""
        both = np.concatenate(numbers)
        self._order = np.argsort(both, kind="stable")
        self._sorted = both[self._order]
        self._size = len(numbers[0])

    def of(self, wanted: Sequence[int]) -> Ints:
        """The products that have one of the numbers, ascending."""
        matches = []
        for number in wanted:
            if number:
                first, last = np.searchsorted(self._sorted, [number, number + 1])
                matches.append(self._order[first:last] % self._size)
        return np.unique(np.concatenate(matches)).astype(np.int64) if matches else np.empty(0, dtype=np.int64)
