"""A query to the lexical index: a name's words as numbers, and the words of many (name, candidate) pairs as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.linking.index.postings import Ints

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Query:
    """A name as the index sees it: `ids` are its distinct terms (-1: not in the catalog), `weights` their idf.

    `strong` marks the terms that say what the thing is; all of them, where none does. `missed` marks those that a
    product lacks if it does not hold them: a word that the catalog does not know may be a brand that this shop does not
    carry, unless it is the head. `required` is a mask of constraints, `sizes` the measures asked for of which the
    catalog tells. `signatures` are those that a product may have to be literally this name, `bag` that of its words.
    `is_series` marks a name that is nothing but a brand or series of the catalog.
    """

    ids: Ints
    weights: Floats
    strong: Bools
    missed: Bools
    head: int
    required: int
    signatures: tuple[int, ...]
    bag: int
    sizes: tuple[SizeTerm, ...] = ()
    is_series: bool = False


@dataclass(frozen=True, slots=True)
class SizeTerm:
    """A measure that a name asks for: the terms of its slot and of the values that will do, and if it says `little`."""

    slot: int
    values: Ints
    little: bool


@dataclass(frozen=True, slots=True)
class PairWords:
    """The words of the queries of p pairs, one pair's after another's, shape (w,); `pair` is the pair of each."""

    ids: Ints
    weights: Floats
    strong: Bools
    missed: Bools
    pair: Ints
    pairs: int

    @classmethod
    def of(cls, queries: Sequence[Query], counts: Ints) -> PairWords:
        lengths = np.array([len(query.ids) for query in queries], dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        each = np.repeat(lengths, counts)  # words of each pair's query
        pair = np.repeat(np.arange(len(each)), each)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(each) - each, each)
        word = np.repeat(np.repeat(starts, counts), each) + within
        ids = np.concatenate([query.ids for query in queries]) if queries else np.empty(0, np.int64)
        weights = np.concatenate([query.weights for query in queries]) if queries else np.empty(0, np.float32)
        strong = np.concatenate([query.strong for query in queries]) if queries else np.empty(0, bool)
        missed = np.concatenate([query.missed for query in queries]) if queries else np.empty(0, bool)
        return cls(ids[word], weights[word], strong[word], missed[word], pair, len(each))

    def sum(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """The sum over each pair's words, shape (p,)."""
        return np.asarray(np.bincount(self.pair, weights=values, minlength=self.pairs), dtype=np.float64)
