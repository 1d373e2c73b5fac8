"""The linker: from a name that a model wrote to the products it may stand for, each with P(acceptable), or to none.

A name's candidates are the nearest products by vector and by words; each is judged by all of its evidence. A name of a
product is that product, whatever the vectors say; but where a shop has a thing on its own shelf, another shelf's
product of that bare name ("Beef Jerky" for dogs, "Peanut Butter" among the ice creams) is judged like all others.
Where no candidate reaches the wanted precision the answer is none: a wrong product in the training data teaches worse
than no product. Candidates nearly as good as the best are kept, for whoever picks among equals.

Linking needs numpy alone, and is a pure function of names and vectors; fitting.py makes a linker, files.py keeps it.
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

BARE = 2  # words of a name at most that may be a flavour's or another shelf's; more words mean that very product
_SERIES_ODDS = float(np.log(0.95 / 0.05))  # of a product of the brand or series that the name is
DISPLACED = 2.0  # log-odds by which a product of another kind must be better
OUTSIDER = 0.15  # how rare a kind among the candidates is, against that better one's, that the name does not mean


@dataclass(frozen=True, slots=True)
class Linked:
    """What a name stands for: near-ties best first, [] for no close product; `best_p` is set in either case."""

    candidates: list[Candidate]
    best_p: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A name's candidates, best first: rows of the catalog, log-odds, p, literalness and features of each.

    `literal` is 2 for a product of this very name, 1 up to plural, spelling and order, 0 for others.
    """

    products: Ints
    odds: Floats
    p: Floats
    literal: Ints
    features: Floats


@dataclass(frozen=True, slots=True)
class Linker:
    """A fitted catalog. `ids` and `names` are the products', in the order of the evidence's rows."""

    ids: list[str]
    names: list[str]
    evidence: Features
    calibration: Calibration

    @property
    def dimension(self) -> int:
        """The length of the vectors that `link` takes."""
        return int(self.evidence.names.shape[1])

    def rank(self, names: Sequence[str], vectors: NDArray[Any]) -> Iterator[Ranked]:
        """All candidates of each name, judged; literal ones first, then by log-odds. A name without a letter has none.

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
        """A name's candidates, shape (c,), judged by their features, shape (c, len(FEATURES))."""
        odds = self._tied(products, self.calibration.log_odds(features))
        odds = np.where(features[:, SERIES] > 0, np.maximum(odds, _SERIES_ODDS), odds)
        literal = self._literalness(name, products, features[:, LITERAL])
        displaced = _displaced(name, literal, odds, features)
        literal[displaced] = 0
        features = features.copy()
        features[displaced, LITERAL] = 0  # what is shown as evidence is what it was judged by
        p = calibration.probabilities(odds, literal > 0)
        order = np.lexsort((products, -odds, -literal))
        return Ranked(products[order], odds[order], p[order], literal[order], features[order])

    def choose(self, ranked: Ranked, link: LinkConfig) -> Linked:
        """Those candidates that reach the wanted precision and are nearly as good as the best.

        `link.candidates` bounds their names: of products that share a name none is left out, or it would never be
        recommended.
        """
        best = ranked.literal.max(initial=0)
        rivals = ranked.literal == best  # what is literally asked for competes only with its like
        near = rivals & (ranked.odds >= ranked.odds[rivals].max(initial=-np.inf) - self.calibration.margin)
        kept = np.flatnonzero(near & (ranked.p >= self.calibration.threshold(link.precision)))
        kept = kept[self._numbered_by_name(ranked.products[kept]) < link.candidates]
        return Linked([self.candidate(ranked, place) for place in kept.tolist()], float(ranked.p.max(initial=0)))

    def candidate(self, ranked: Ranked, place: int) -> Candidate:
        """One of a name's candidates."""
        product = int(ranked.products[place])
        return Candidate(self.ids[product], self.names[product], float(ranked.p[place]))

    def evidence_of(self, ranked: Ranked, place: int) -> dict[str, float]:
        """What speaks for and against one of a name's candidates: its features that are not 0, by their names."""
        values = zip(FEATURES, ranked.features[place].tolist(), strict=True)
        return {feature: round(value, 3) for feature, value in values if round(value, 3)}

    def link(self, names: Sequence[str], vectors: NDArray[Any], link: LinkConfig) -> list[Linked]:
        """The products that each name may stand for. Arguments and errors as of `rank`."""
        return [self.choose(ranked, link) for ranked in self.rank(names, vectors)]

    def top(self, names: Sequence[str], vectors: NDArray[Any], count: int) -> list[list[Candidate]]:
        """The best `count` products of each name with their p, however small. Arguments and errors as of `rank`."""
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
        """For each product how many other names come before its own."""
        twins = self.evidence.index.twins[products]
        numbers: dict[int, int] = {}
        groups = np.where(twins >= 0, twins, -1 - products).tolist()
        return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)

    def _tied(self, products: Ints, odds: Floats) -> Floats:
        """Products of one name are equals, whatever was written about each: all get the best of their log-odds."""
        twins = self.evidence.index.twins[products]
        shared = odds.copy()
        for twin in np.unique(twins[twins >= 0]).tolist():
            shared[twins == twin] = odds[twins == twin].max()
        return shared


def _displaced(name: str, literal: Ints, odds: Floats, features: Floats) -> NDArray[np.bool_]:
    """Which literal candidates of a bare name lie on a shelf where the thing itself does not, shape (c,).

    Another candidate has all of the name's words and its head as well, is of a kind that is far commoner among the
    candidates, and is far better by all evidence.
    """
    ruled = literal > 0
    if not ruled.any() or len(normalise_name(name).split()) > BARE:
        return np.zeros(len(literal), dtype=bool)
    others = ~ruled & (features[:, FITS] > 0)
    better = odds[others][:, None] > odds + DISPLACED
    outsider = features[:, VOTES] < OUTSIDER * features[others, VOTES][:, None]
    return np.asarray(ruled & (better & outsider).any(axis=0))
