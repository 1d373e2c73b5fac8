"""What speaks for each candidate of a name: cosines of vectors and agreement of words, one row of features each.

A cosine means something else with every encoder, and a small catalog holds too little to learn what. So cosines are
measured with a **ruler**: fixed pairs of texts that mean the same thing, and the same texts paired at random, encoded
once when the linker is fitted. 0 is the mean of the unrelated pairs and 1 that of the related ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.engines.base import Encoder
from skutune.linking import lexical
from skutune.linking.classifier import Floats, Ints, Projection
from skutune.linking.lexical import LexicalIndex, Query
from skutune.pulse import beat

FEATURES = ("name_cosine", "text_cosine", *lexical.FEATURES)
"""The columns of a candidate's features; the first two are in units of the ruler, the others in [0, 1]."""

LITERAL = FEATURES.index("literal")
NEAREST = 24  # candidates by each cosine
WORDED = 48  # candidates by words
_CELLS = 1 << 23  # similarities at the same time: 32 MiB for each cosine
_NARROW = 0.05  # an encoder whose pairs differ by less tells nothing apart; its cosines are not blown up

RULER = (
    ("Reading lamp", "A small light for a desk or a bedside table"),
    ("Rain jacket", "Waterproof coat for wet weather"),
    ("Cordless drill", "Power tool with a battery for making holes"),
    ("Lemonade", "Sweet drink made of lemon juice, sugar and water"),
    ("Dog food", "Dry kibble for adult dogs"),
    ("Shampoo", "Liquid soap for washing hair"),
    ("Running shoes", "Trainers for jogging"),
    ("Strawberry jam", "Fruit spread made of strawberries"),
    ("Ballpoint pen", "Pen for writing with blue ink"),
    ("Chicken soup", "Broth with pieces of chicken and vegetables"),
    ("Wool blanket", "Warm cover for a bed"),
    ("Toothpaste", "Paste for brushing teeth"),
    ("Garden hose", "Long tube for watering plants"),
    ("Cheddar cheese", "Firm yellow cheese made of cow's milk"),
    ("Wall clock", "Clock that hangs on the wall"),
    ("Rye bread", "Dark loaf baked from rye flour"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """An affine scale for cosines: `unrelated` reads 0, `related` reads 1."""

    unrelated: float
    related: float

    def __call__(self, cosines: Floats) -> Floats:
        """Cosines in units of the ruler."""
        return np.asarray((cosines - self.unrelated) / max(self.related - self.unrelated, _NARROW), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ruler:
    """The scales of an encoder: of its own vectors (names) and of projected ones (texts)."""

    name: Scale
    text: Scale

    @classmethod
    def measure(cls, encoder: Encoder, projection: Projection) -> Ruler:
        """Encode the fixed pairs once."""
        vectors = encoder.encode([text for pair in RULER for text in pair])
        return cls(_scale(vectors), _scale(projection.apply(vectors)))


@dataclass(frozen=True, slots=True)
class Evidence:
    """A catalog of n products, ready to be compared with names.

    `names` (n, d) are the encoder's vectors of the names, `prototypes` (n, d) the projected mean of all texts.
    """

    index: LexicalIndex
    names: Floats
    prototypes: Floats
    projection: Projection
    ruler: Ruler

    def of(
        self, names: Sequence[str], vectors: Floats, hidden: Sequence[NDArray[np.bool_] | None] | None = None
    ) -> Iterator[tuple[Ints, Floats]]:
        """For each name its candidates, (c,), and their features, (c, len(FEATURES)).

        `hidden[i]` marks products that the catalog is to be without for name i.
        """
        step = max(1, _CELLS // max(len(self.names), 1))
        for at in range(0, len(names), step):
            beat()
            block = vectors[at : at + step]
            by_name = self.ruler.name(block @ self.names.T)
            by_text = self.ruler.text(self.projection.apply(block) @ self.prototypes.T)
            for row, name in enumerate(names[at : at + step]):
                mask = hidden[at + row] if hidden is not None else None
                yield self._of_one(self.index.query(name), by_name[row], by_text[row], mask)

    def features(self, query: Query, products: Ints, by_name: Floats, by_text: Floats) -> Floats:
        """The features of given products; `by_name` and `by_text` are the query's scaled cosines with all products."""
        cosines = np.stack([by_name[products], by_text[products]], axis=1)
        return np.concatenate([cosines, self.index.features(query, products)], axis=1).astype(np.float32)

    def _of_one(
        self, query: Query, by_name: Floats, by_text: Floats, hidden: NDArray[np.bool_] | None
    ) -> tuple[Ints, Floats]:
        if hidden is not None:
            by_name, by_text = np.where(hidden, -np.inf, by_name), np.where(hidden, -np.inf, by_text)
        near = np.union1d(_top(by_name, NEAREST), _top(by_text, NEAREST))
        products = np.union1d(near, self.index.candidates(query, WORDED, hidden)).astype(np.int64)
        return products, self.features(query, products, by_name, by_text)


def _top(scores: Floats, count: int) -> Ints:
    """The places of the highest finite scores, in any order."""
    places = np.argpartition(-scores, count)[:count] if len(scores) > count else np.arange(len(scores))
    return np.asarray(places[np.isfinite(scores[places])], dtype=np.int64)


def _scale(vectors: Floats) -> Scale:
    """From the vectors of the ruler's texts, each pair's two side by side."""
    cosines = vectors[0::2] @ vectors[1::2].T
    related = np.eye(len(cosines), dtype=bool)
    return Scale(unrelated=float(cosines[~related].mean()), related=float(cosines[related].mean()))
