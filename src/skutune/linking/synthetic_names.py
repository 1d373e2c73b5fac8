"""Synthetic queries generated from the catalog, and labels for the linker's candidates.

A new catalog has no labelled names, so they are generated: the short names of a product ("rigatoni", "mini rigatoni")
have its **neighbourhood** as correct answers, that is, the products with all their words and the same head, and those
whose vectors are nearly as close as a paraphrase. Negatives come from the same names with the neighbourhood hidden: the
best remaining candidate is wrong however similar it is. Some names get a constraint, which makes products wrong that do
not state it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.engines.base import Encoder
from skutune.linking.calibration import Calibration
from skutune.linking.features import Features
from skutune.linking.index.postings import Ints
from skutune.linking.names.phrase import WEAK_WORDS, in_usual_words, read_phrase
from skutune.linking.vectors.classifier import Floats
from skutune.process.watchdog import heartbeat
from skutune.records import Product

SAMPLED = 1000  # products; more do not change the coefficients, and each costs two texts to encode
_WORDS = 3  # maximum number of words of a short name
_CLOSE = 1.3  # scaled cosine; with it, synthetic and hand-labelled names give the same scale and shift
_CONSTRAINED = 0.2  # share of names that get a constraint
_ASKED = ("gluten-free", "nut-free", "sugar-free", "vegan", "decaf", "dairy-free")
_CHUNK = 128


def query_text(name: str, expansion: str | None) -> str:
    """The text that is encoded for a name: the name in the lexicon's usual words, and its expansion if there is one."""
    usual = in_usual_words(name)
    return f"{usual}. {expansion}" if expansion else usual


def generic_names(name: str) -> list[str]:
    """A product's name as shoppers shorten it: the last one to three words up to its head, shortest first.

    >>> generic_names("Smart Ones Mini Rigatoni With Vodka Cream Sauce")
    ['rigatoni', 'ones mini rigatoni']
    """
    phrase = read_phrase(name)
    end = phrase.head + 1
    starts = range(end - 1, max(end - _WORDS, 0) - 1, -1)
    return [" ".join(phrase.surface[at:end]) for at in starts if phrase.terms[at] not in WEAK_WORDS]


@dataclass(frozen=True, slots=True)
class SyntheticQuery:
    """A name generated from a product (a row of the catalog), and the text to encode for it."""

    name: str
    text: str
    product: int


@dataclass(frozen=True, slots=True)
class LabelledQueries:
    """Labelled best candidates of m queries, half of them with the neighbourhood hidden.

    Attributes:
        odds: log-odds of the best candidate, shape (m,).
        right: whether it is a correct answer, shape (m,).
        product: row of the product that the name was generated from, shape (m,).
        retrieved: share of names whose product was among the candidates.
    """

    odds: Floats
    right: NDArray[np.bool_]
    product: Ints
    retrieved: float


def sample_queries(products: Sequence[Product], seed: int) -> list[SyntheticQuery]:
    """Up to two short names of each of SAMPLED products, some with a constraint, half with attributes as expansion."""
    generator = np.random.default_rng(seed)
    asked = []
    for place in generator.permutation(len(products))[:SAMPLED]:
        product = products[place]
        names = generic_names(product.name)
        for number in generator.permutation(len(names))[:2]:
            name = _constrained(names[number], product, generator)
            kind = ", ".join(value for value in product.attributes.values() if value)
            expansion = f"A product of the kind {kind}." if kind and generator.random() < 0.5 else None
            asked.append(SyntheticQuery(name, query_text(name, expansion), int(place)))
    return asked


def label_queries(
    asked: Sequence[SyntheticQuery], evidence: Features, judge: Calibration, encoder: Encoder
) -> LabelledQueries:
    """Rank the candidates of each name with and without its neighbourhood, and label the best one of each ranking."""
    odds: list[float] = []
    right: list[bool] = []
    of: list[int] = []
    wanted = found = 0
    for part in _chunks(asked):
        vectors = encoder.encode([one.text for one in part])
        names = [one.name for one in part]
        hidden = _neighbourhoods(part, evidence)
        whole, without = evidence.of(names, vectors), evidence.of(names, vectors, hidden)
        for one, mask, (candidates, features), (_, rest) in zip(part, hidden, whole, without, strict=True):
            forbidden = evidence.index.violating(evidence.index.query(one.name))
            met = forbidden is None or not forbidden[one.product]
            wanted += met
            found += met and one.product in candidates
            if len(candidates):
                judged = judge.log_odds(features)
                odds.append(float(judged.max()))
                right.append(bool(mask[candidates[judged.argmax()]]))
                of.append(one.product)
            if len(rest):
                odds.append(float(judge.log_odds(rest).max()))
                right.append(False)
                of.append(one.product)
    rows = np.array(of, dtype=np.int64)
    return LabelledQueries(np.array(odds, np.float32), np.array(right, dtype=bool), rows, found / max(wanted, 1))


def _constrained(name: str, product: Product, generator: np.random.Generator) -> str:
    own = sorted(read_phrase(product.name).constraints)
    draw = generator.random()
    if own and draw < 0.5:
        return f"{own[0]} {name}"
    if not own and draw < _CONSTRAINED:
        return f"{_ASKED[generator.integers(len(_ASKED))]} {name}"
    return name


def _neighbourhoods(part: Sequence[SyntheticQuery], evidence: Features) -> list[NDArray[np.bool_]]:
    """The correct answers of each name: products with all its words and its head, or similar to its own product."""
    cosines = evidence.ruler.text(evidence.prototypes[[one.product for one in part]] @ evidence.prototypes.T)
    masks = []
    for one, near in zip(part, cosines, strict=True):
        mask = np.asarray(near >= _CLOSE)
        mask[evidence.index.same_thing(evidence.index.query(one.name))] = True
        mask[one.product] = True
        masks.append(mask)
    return masks


def _chunks(asked: Sequence[SyntheticQuery]) -> Iterator[Sequence[SyntheticQuery]]:
    for at in range(0, len(asked), _CHUNK):
        heartbeat()
        yield asked[at : at + _CHUNK]
