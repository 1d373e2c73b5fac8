"""The linker: maps a generated name to candidate products with P(acceptable), or to none.

Candidates are the nearest products by vector and by words, each scored by a logistic regression over its features. A
product with the very name is a literal match, whatever the vectors say, except on the wrong shelf: "Beef Jerky" among
the dog treats is scored like any other candidate if the catalog also has beef jerky. Without a candidate at the target
precision there is no link, because a wrong product in the training data is worse than none. Near-ties are kept for the
choice among equals.

Linking needs numpy only and is a pure function of names and vectors. fit.py builds a linker, save.py stores it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.config.schema import LinkConfig
from skutune.errors import InputError
from skutune.linking import calibration
from skutune.linking.calibration import Calibration
from skutune.linking.features import FEATURES, FITS, LITERAL, SERIES, VOTES, Features
from skutune.linking.index.postings import Ints
from skutune.linking.vectors import classifier
from skutune.linking.vectors.classifier import Floats
from skutune.records import Candidate
from skutune.text import normalise_name

BARE = 2  # maximum number of words of a name that may be a flavour or lie on another shelf
_SERIES_ODDS = float(np.log(0.95 / 0.05))  # of a product of the brand or series that the name is
DISPLACED = 2.0  # minimum log-odds by which a product of another category must be better
OUTSIDER = 0.15  # maximum share of its category among the candidates, relative to that of the better one


@dataclass(frozen=True, slots=True)
class Linked:
    """The near-ties of a name, best first; empty without a close product. `best_p` is set in either case."""

    candidates: list[Candidate]
    best_p: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A name's candidates, best first: rows of the catalog, log-odds, p, literalness and features of each.

    `literal` is 2 for the very name, 1 if plural, spelling or order differ, 0 otherwise.
    """

    products: Ints
    odds: Floats
    p: Floats
    literal: Ints
    features: Floats


@dataclass(frozen=True, slots=True)
class Linker:
    """A fitted catalog: ids and names of the products in the order of the rows of `evidence`, and the calibration."""

    ids: list[str]
    names: list[str]
    evidence: Features
    calibration: Calibration

    @property
    def dimension(self) -> int:
        """The length of the vectors that `link` takes."""
        return int(self.evidence.names.shape[1])

    def rank(self, names: Sequence[str], vectors: NDArray[Any]) -> Iterator[Ranked]:
        """Rank the candidates of each name: literal matches first, then by log-odds. Names without letters have none.

        Args:
            names: n names.
            vectors: shape (n, dimension): the encoder's unit vector of `query_text` for each name.

        Raises:
            InputError: vectors of another shape, or not finite.
        """
        checked = classifier.check(np.asarray(vectors), self.dimension)
        if len(checked) != len(names):
            raise InputError(f"{len(checked)} vectors for {len(names)} names")
        for name, (products, features) in zip(names, self.evidence.of(names, classifier.unit(checked)), strict=True):
            if not normalise_name(name):  # an encoder gives it a vector as well, near to something
                products, features = products[:0], features[:0]
            yield self.judge(name, products, features)

    def judge(self, name: str, products: Ints, features: Floats) -> Ranked:
        """Score and rank a name's candidates, shape (c,), by their features, shape (c, len(FEATURES))."""
        odds = self._tied(products, self.calibration.log_odds(features))
        odds = np.where(features[:, SERIES] > 0, np.maximum(odds, _SERIES_ODDS), odds)
        literal = self._literalness(name, products, features[:, LITERAL])
        displaced = _displaced(name, literal, odds, features)
        literal[displaced] = 0
        features = features.copy()
        features[displaced, LITERAL] = 0  # shown as it was scored
        p = calibration.probabilities(odds, literal > 0)
        order = np.lexsort((products, -odds, -literal))
        return Ranked(products[order], odds[order], p[order], literal[order], features[order])

    def choose(self, ranked: Ranked, link: LinkConfig) -> Linked:
        """The near-ties of the best candidate that reach the target precision.

        `link.candidates` limits the number of names; products that share a name are kept together.
        """
        best = ranked.literal.max(initial=0)
        rivals = ranked.literal == best  # literal matches compete only with each other
        near = rivals & (ranked.odds >= ranked.odds[rivals].max(initial=-np.inf) - self.calibration.margin)
        kept = np.flatnonzero(near & (ranked.p >= self.calibration.threshold(link.precision)))
        kept = kept[self._numbered_by_name(ranked.products[kept]) < link.candidates]
        return Linked([self.candidate(ranked, place) for place in kept.tolist()], float(ranked.p.max(initial=0)))

    def candidate(self, ranked: Ranked, place: int) -> Candidate:
        """The candidate at this rank."""
        product = int(ranked.products[place])
        return Candidate(self.ids[product], self.names[product], float(ranked.p[place]))

    def evidence_of(self, ranked: Ranked, place: int) -> dict[str, float]:
        """The nonzero features of the candidate at this rank, by name."""
        values = zip(FEATURES, ranked.features[place].tolist(), strict=True)
        return {feature: round(value, 3) for feature, value in values if round(value, 3)}

    def link(self, names: Sequence[str], vectors: NDArray[Any], link: LinkConfig) -> list[Linked]:
        """Link each name. Arguments and errors as of `rank`."""
        return [self.choose(ranked, link) for ranked in self.rank(names, vectors)]

    def top(self, names: Sequence[str], vectors: NDArray[Any], count: int) -> list[list[Candidate]]:
        """The `count` best candidates of each name, whatever their p. Arguments and errors as of `rank`."""
        return [
            [self.candidate(ranked, place) for place in range(min(count, len(ranked.products)))]
            for ranked in self.rank(names, vectors)
        ]

    def _literalness(self, name: str, products: Ints, literal: Floats) -> Ints:
        levels = (literal > 0).astype(np.int64)
        places = np.flatnonzero(levels)
        if len(places):
            asked = normalise_name(name)
            for place in places:
                levels[place] += normalise_name(self.names[products[place]]) == asked
        return levels

    def _numbered_by_name(self, products: Ints) -> Ints:
        """The rank of each product's name among the distinct names."""
        twins = self.evidence.index.twins[products]
        numbers: dict[int, int] = {}
        groups = np.where(twins >= 0, twins, -1 - products).tolist()
        return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)

    def _tied(self, products: Ints, odds: Floats) -> Floats:
        """Products that share a name get the maximum of their log-odds: their descriptions must not decide."""
        twins = self.evidence.index.twins[products]
        shared = odds.copy()
        for twin in np.unique(twins[twins >= 0]).tolist():
            shared[twins == twin] = odds[twins == twin].max()
        return shared


def _displaced(name: str, literal: Ints, odds: Floats, features: Floats) -> NDArray[np.bool_]:
    """Which literal matches of a short name lie on the wrong shelf, shape (c,).

    That is, another candidate has all words and the head of the name, belongs to a category that is much more common
    among the candidates, and has much higher log-odds.
    """
    ruled = literal > 0
    if not ruled.any() or len(normalise_name(name).split()) > BARE:
        return np.zeros(len(literal), dtype=bool)
    others = ~ruled & (features[:, FITS] > 0)
    better = odds[others][:, None] > odds + DISPLACED
    outsider = features[:, VOTES] < OUTSIDER * features[others, VOTES][:, None]
    return np.asarray(ruled & (better & outsider).any(axis=0))
