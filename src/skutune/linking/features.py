"""Features of the candidates of a name: scaled cosines, agreement of words, and agreement of categories.

Candidates are the nearest products by vector and those that share words. A product that violates a constraint of the
name is not a candidate, however similar it is: peanuts for a nut-free cracker are the worst mistake.

The **categories** of a product are the values of its attributes that group products, such as aisle and department. A
name has none, but it is closer to some categories than to others, and a candidate of a distant one is less likely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skutune.linking.index import lexical
from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.index.nearest import Bools, Nearest, highest
from skutune.linking.index.postings import Ints
from skutune.linking.index.query import Query
from skutune.linking.vectors.classifier import Floats, Projection, centroids, unit
from skutune.linking.vectors.cosine_scale import CosineScale
from skutune.process.watchdog import heartbeat
from skutune.records import Product

_BY_VECTOR = ("name_similarity", "text_similarity", "best_similarity", "category_gap")
_BY_KIND = ("kind_votes", "category_support")
FEATURES = (*_BY_VECTOR, *lexical.FEATURES, *_BY_KIND)
"""The columns of a candidate's features. The first four are scaled cosines (`CosineScale`): of the name with the
product's name and with its prototype, the mean of both for the best candidate, and the distance of the product's
categories from the nearest ones. The others are in [0, 1]: the lexical features (lexical.py), the share of candidates
in its category, and how many of those also fit the words."""

LITERAL = FEATURES.index("literal")
SERIES = FEATURES.index("series")
FITS = FEATURES.index("fits")
VOTES = FEATURES.index("kind_votes")
NEAREST = 64  # candidates by vector
WORDED = 48  # candidates by words
_CELLS = 1 << 22  # similarities computed together: 16 MiB, which fits into a processor's cache
_COMPANY = 3.0  # other fitting products of a category at which its support is one half
_SHARPNESS = 2.0  # of the softmax over the sum of two scaled cosines
_VALUES = 5000  # maximum number of values of a column that are categories; each has a centroid
_GROUPING = 4  # minimum mean number of products per value for a column of categories


@dataclass(frozen=True, slots=True)
class Categories:
    """Categories of n products in k columns: `codes` (k, n) number them, `centres` (m, d) are their mean prototypes."""

    codes: Ints
    centres: Floats

    @classmethod
    def build(cls, products: Sequence[Product], prototypes: Floats) -> Categories:
        """Build them from the attributes that group products.

        Products without a value form a category of their own, together with the rarest values of a large column.
        """
        codes: list[list[int]] = []
        total = 0
        for column in sorted({column for product in products for column in product.attributes}):
            counts = Counter(product.attributes.get(column, "") for product in products)
            if not 2 <= len(counts) <= len(products) / _GROUPING:
                continue
            common = [value for value, _ in counts.most_common(_VALUES)]
            # Numbered by a dict: an array of texts would give each the room of the longest.
            numbers = {value: total + number for number, value in enumerate(common)}
            other = numbers.get("", total + len(common))
            codes.append([numbers.get(product.attributes.get(column, ""), other) for product in products])
            total = 1 + max(codes[-1])
        placed = np.array(codes, dtype=np.int64).reshape(-1, len(products))
        centres = np.zeros((total, prototypes.shape[1]), dtype=np.float32)
        for codes_of_column in placed:
            centres += centroids(prototypes, codes_of_column, total)
        return cls(placed, unit(centres))

    def category_gap(self, texts: Floats, counts: Ints, products: Ints, ruler: CosineScale) -> Floats:
        """The distance of each candidate's categories from the nearest ones, averaged over the columns, shape (p,)."""
        if not len(self.codes):
            return np.zeros(len(products), dtype=np.float32)
        scaled = ruler.text(texts @ self.centres.T)
        of = np.repeat(np.arange(len(counts)), counts)
        behind = np.zeros(len(products), dtype=np.float32)
        for column in self.codes:
            first, last = column.min(), column.max() + 1
            best = scaled[:, first:last].max(axis=1, initial=-np.inf)
            behind += best[of] - scaled[of, column[products]]
        return behind / np.float32(len(self.codes))

    def votes(self, counts: Ints, products: Ints, cosines: Floats, fits: Floats) -> Floats:
        """Support of candidates by others of their category, shape (p, 2), averaged over the columns, in [0, 1].

        First the similarity-weighted share of candidates in the category, relative to the most common one. Then, for
        those that fit the words, how many others of the category fit them. Without columns there is one category.
        """
        support = np.zeros((len(products), 2), dtype=np.float32)
        columns = self.codes if len(self.codes) else np.zeros((1, int(products.max(initial=0)) + 1), dtype=np.int64)
        start = 0
        for count in counts.tolist():
            part = slice(start, start + count)
            start += count
            weights = np.exp(_SHARPNESS * (cosines[part] - cosines[part].max(initial=-np.inf)))
            for column in columns:
                _, kinds = np.unique(column[products[part]], return_inverse=True)
                near = np.bincount(kinds, weights=weights)
                others = np.maximum(np.bincount(kinds, weights=fits[part]) - 1, 0)
                support[part, 0] += (near / near.max(initial=1e-9))[kinds]
                support[part, 1] += fits[part] * (others / (others + _COMPANY))[kinds]
        return support / np.float32(len(columns))


@dataclass(frozen=True, slots=True)
class Features:
    """Computes the features of names against a catalog of n products.

    `names` (n, d) are the encoder's vectors of the names, `prototypes` (n, d) the projected mean of all texts.
    """

    index: LexicalIndex
    names: Floats
    prototypes: Floats
    projection: Projection
    ruler: CosineScale
    kinds: Categories
    nearest: Nearest

    @classmethod
    def build(
        cls,
        products: Sequence[Product],
        names: Floats,
        prototypes: Floats,
        projection: Projection,
        ruler: CosineScale,
    ) -> Features:
        """Build it from a catalog and its vectors."""
        index, kinds = LexicalIndex.build(products), Categories.build(products, prototypes)
        return cls(index, names, prototypes, projection, ruler, kinds, Nearest.build(names, prototypes))

    def of(
        self, names: Sequence[str], vectors: Floats, hidden: Sequence[Bools | None] | None = None
    ) -> Iterator[tuple[Ints, Floats]]:
        """The candidates of each name, ascending, shape (c,), and their features, shape (c, len(FEATURES)).

        `hidden[i]` marks products to exclude for name i.
        """
        step = max(1, _CELLS // max(len(self.names), 1))
        for at in range(0, len(names), step):
            heartbeat()
            masks = hidden[at : at + step] if hidden is not None else None
            yield from self._of_block(names[at : at + step], vectors[at : at + step], masks)

    def _of_block(
        self, names: Sequence[str], vectors: Floats, hidden: Sequence[Bools | None] | None
    ) -> Iterator[tuple[Ints, Floats]]:
        queries = [self.index.query(name) for name in names]
        texts = self.projection.apply(vectors)
        scores = self.nearest.scores(np.concatenate([vectors, texts], axis=1))
        masks: list[Bools | None] = []
        for row, query in enumerate(queries):
            mask = _either(self.index.violating(query), None if hidden is None else hidden[row])
            masks.append(mask)
            if mask is not None:
                scores[row, mask] = -np.inf
        near = highest(scores, NEAREST)
        candidates = []
        for row, (query, mask) in enumerate(zip(queries, masks, strict=True)):
            by_vector = near[row] if mask is None else near[row][~mask[near[row]]]
            candidates.append(np.union1d(by_vector, self.index.candidates(query, WORDED, mask)).astype(np.int64))
        yield from self._featured(queries, vectors, texts, candidates)

    def among(self, names: Sequence[str], vectors: Floats, candidates: Sequence[Ints]) -> Iterator[tuple[Ints, Floats]]:
        """As `of`, for given candidates: of `candidates[i]`, those that satisfy the constraints of name i."""
        queries = [self.index.query(name) for name in names]
        allowed = []
        for query, products in zip(queries, candidates, strict=True):
            mask = self.index.violating(query)
            allowed.append(products if mask is None else products[~mask[products]])
        yield from self._featured(queries, vectors, self.projection.apply(vectors), allowed)

    def _featured(
        self, queries: Sequence[Query], vectors: Floats, texts: Floats, candidates: Sequence[Ints]
    ) -> Iterator[tuple[Ints, Floats]]:
        counts = np.array([len(products) for products in candidates], dtype=np.int64)
        products = np.concatenate(candidates) if candidates else np.empty(0, np.int64)
        compared = self._compared(vectors, texts, counts, products)
        worded = self.index.features(queries, counts, products)
        both = np.concatenate([compared, worded], axis=1)
        votes = self.kinds.votes(counts, products, both[:, :2].sum(axis=1), both[:, FITS])
        features = np.concatenate([both, votes], axis=1)
        ends = np.cumsum(counts)
        for chosen, end in zip(candidates, ends.tolist(), strict=True):
            yield chosen, features[end - len(chosen) : end]

    def _compared(self, vectors: Floats, texts: Floats, counts: Ints, products: Ints) -> Floats:
        """The features computed from vectors, shape (p, 4)."""
        by_name, by_text = np.empty(len(products), np.float32), np.empty(len(products), np.float32)
        best = np.empty(len(products), np.float32)
        start = 0
        for row, count in enumerate(counts.tolist()):
            part = slice(start, start + count)
            chosen = products[part]
            by_name[part] = self.ruler.name(self.names[chosen] @ vectors[row])
            by_text[part] = self.ruler.text(self.prototypes[chosen] @ texts[row])
            best[part] = ((by_name[part] + by_text[part]) / 2).max(initial=-np.inf)
            start += count
        kinds = self.kinds.category_gap(texts, counts, products, self.ruler)
        return np.stack([by_name, by_text, best, kinds], axis=1)


def _either(one: Bools | None, other: Bools | None) -> Bools | None:
    if one is None or other is None:
        return other if one is None else one
    return np.asarray(one | other)
