"""Queries to the lexical index: the terms of a name as ids, and those of many (name, candidate) pairs as arrays."""

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
    """A name as a query.

    Attributes:
        ids: distinct terms; -1 for one that is not in the vocabulary.
        weights: their idf.
        strong: terms that identify the product, that is, neither weak words nor numbers; all terms if there are none.
        missed: terms that count against a product without them: those in the vocabulary, and the head. Another unknown
            term may be a brand that the shop does not carry.
        head: the term of the head, or -1.
        required: mask of constraints.
        signatures: signatures of literal matches.
        bag: signature of the terms in any order.
        sizes: stated sizes whose slot occurs in the catalog.
        is_series: whether the name is only a brand or series of the catalog.
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
    """A size that a name states: the terms of its slot and of its values, and whether it is a `minor` one."""

    slot: int
    values: Ints
    minor: bool


@dataclass(frozen=True, slots=True)
class PairWords:
    """The concatenated query terms of p (query, candidate) pairs, shape (w,); `pair` is the pair of each term."""

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
        each = np.repeat(lengths, counts)  # terms of each pair's query
        pair = np.repeat(np.arange(len(each)), each)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(each) - each, each)
        word = np.repeat(np.repeat(starts, counts), each) + within
        ids = np.concatenate([query.ids for query in queries]) if queries else np.empty(0, np.int64)
        weights = np.concatenate([query.weights for query in queries]) if queries else np.empty(0, np.float32)
        strong = np.concatenate([query.strong for query in queries]) if queries else np.empty(0, bool)
        missed = np.concatenate([query.missed for query in queries]) if queries else np.empty(0, bool)
        return cls(ids[word], weights[word], strong[word], missed[word], pair, len(each))

    def sum(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """The sum over the terms of each pair, shape (p,)."""
        return np.asarray(np.bincount(self.pair, weights=values, minlength=self.pairs), dtype=np.float64)
