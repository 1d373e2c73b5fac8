"""Names as a shopper would say them, made from the catalog itself, and the labelled pairs that calibrate from them.

Nobody has labelled which product answers which name, so the labels are made. A product's own short names ("rigatoni",
"mini rigatoni") are names that it answers. Where a catalog holds *nothing* for a name must be learned as well: the same
names are asked again while the product's whole neighbourhood is hidden, and the best of what remains is wrong however
well it looks. A constraint put before a name makes wrong what was right, unless the product states it.

All of a made name's words are its product's, which is not so of names from elsewhere ("fizzy drink" for a soda). So the
words of a share of the names are hidden from the index, one word each, while their vectors stay: there the calibration
learns what the vectors are worth by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.engines.base import Encoder
from skutune.linking import phrases
from skutune.linking.classifier import Floats, Ints
from skutune.linking.evidence import FEATURES, Evidence
from skutune.linking.lexical import LexicalIndex
from skutune.pulse import beat
from skutune.records import Product

SAMPLED = 1000  # products that are asked for: more move no coefficient, and each costs two texts to encode
NEGATIVES = 2  # of what remains for a name while its neighbourhood is hidden
_WORDS = 3  # of a short name at most
_CLOSE = 0.9  # on the ruler: nearly as close as two wordings of one thing
_CONSTRAINED = 0.2  # share of names that get a constraint
_UNWORDED = 0.3  # share of names of which the index does not know one word
_UNKNOWN = "xqvxqv"  # no catalog's word
_ASKED = ("gluten-free", "nut-free", "sugar-free", "vegan", "decaf", "dairy-free")
_CHUNK = 128
_MISSING = FEATURES.index("constraint_missing")
_LOOKS = [FEATURES.index(column) for column in ("name_cosine", "text_cosine", "query_coverage", "head_agrees")]


def query_text(name: str, expansion: str | None) -> str:
    """The text whose vector stands for a name: the name, and the description of what it means where there is one."""
    return f"{name}. {expansion}" if expansion else name


def generic_names(name: str) -> list[str]:
    """A product's name as shoppers shorten it: the last one to three words up to its head, shortest first.

    >>> generic_names("Smart Ones Mini Rigatoni With Vodka Cream Sauce")
    ['rigatoni', 'ones mini rigatoni']
    """
    phrase = phrases.read(name)
    end = phrase.head + 1
    starts = range(end - 1, max(end - _WORDS, 0) - 1, -1)
    return [" ".join(phrase.surface[at:end]) for at in starts if phrase.terms[at] not in phrases.WEAK]


@dataclass(frozen=True, slots=True)
class Asked:
    """A name made from a product, as the index sees it, and the text to encode for it."""

    name: str
    text: str
    product: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labelled pairs of a name and a product: `product` is the one that the name was made from.

    `rounds` holds, for each name whose product is right, the features of all candidates and the place of the product.
    `retrieved` is the share of names whose product was among the candidates.
    """

    features: Floats
    acceptable: NDArray[np.bool_]
    weights: Floats
    product: Ints
    rounds: list[tuple[Floats, int]]
    retrieved: float


def ask(products: Sequence[Product], seed: int) -> list[Asked]:
    """Up to two short names of SAMPLED products, some with a constraint, half with what the attributes say."""
    generator = np.random.default_rng(seed)
    asked = []
    for place in generator.permutation(len(products))[:SAMPLED]:
        product = products[place]
        names = generic_names(product.name)
        for number in generator.permutation(len(names))[:2]:
            name = _constrained(names[number], product, generator)
            kind = ", ".join(value for value in product.attributes.values() if value)
            expansion = f"A product of the kind {kind}." if kind and generator.random() < 0.5 else None
            asked.append(Asked(_unworded(name, generator), query_text(name, expansion), int(place)))
    return asked


def label(asked: Sequence[Asked], products: Sequence[Product], evidence: Evidence, encoder: Encoder) -> Pairs:
    """Ask each name twice, with and without its neighbourhood, and label what was found."""
    kinds = _kinds(products)
    rows: list[Floats] = []
    right: list[bool] = []
    of: list[int] = []
    rounds: list[tuple[Floats, int]] = []
    found = 0
    for part in _chunks(asked):
        vectors = encoder.encode([one.text for one in part])
        names = [one.name for one in part]
        hidden = _neighbourhoods(part, kinds, evidence)
        whole, without = evidence.of(names, vectors), evidence.of(names, vectors, hidden)
        for one, (candidates, features), (_, rest) in zip(part, whole, without, strict=True):
            place = int(np.searchsorted(candidates, one.product))
            if place < len(candidates) and candidates[place] == one.product:
                found += 1
                rows.append(features[place])
                right.append(features[place][_MISSING] == 0)
                if right[-1]:
                    rounds.append((features, place))
                of.append(one.product)
            best = np.argsort(-rest[:, _LOOKS].sum(axis=1), kind="stable")[:NEGATIVES]
            rows.extend(rest[best])
            right.extend([False] * len(best))
            of.extend([one.product] * len(best))
    acceptable = np.array(right, dtype=bool)
    features = np.array(rows, dtype=np.float32).reshape(-1, len(FEATURES))
    share = found / max(len(asked), 1)
    return Pairs(features, acceptable, _balanced(acceptable), np.array(of, dtype=np.int64), rounds, share)


def _constrained(name: str, product: Product, generator: np.random.Generator) -> str:
    own = sorted(phrases.read(product.name).constraints)
    draw = generator.random()
    if own and draw < 0.5:
        return f"{own[0]} {name}"
    if not own and draw < _CONSTRAINED:
        return f"{_ASKED[generator.integers(len(_ASKED))]} {name}"
    return name


def _unworded(name: str, generator: np.random.Generator) -> str:
    """The name, or the name with one of its words made unknown."""
    parts = name.split()
    if generator.random() < _UNWORDED:
        parts[generator.integers(len(parts))] = _UNKNOWN
    return " ".join(parts)


def _balanced(acceptable: NDArray[np.bool_]) -> Floats:
    """Weights that let right and wrong pairs count the same in all: as many names have a product as have none."""
    right = int(acceptable.sum())
    wrong = len(acceptable) - right
    return np.where(acceptable, 1.0, right / max(wrong, 1)).astype(np.float32)


def _kinds(products: Sequence[Product]) -> Ints:
    """Each product's kind: its value in the finest attribute that still groups products; -1 where there is none."""
    columns = sorted({column for product in products for column in product.attributes})
    best: list[str] = []
    for column in columns:
        values = [product.attributes.get(column, "") for product in products]
        if max(2, len(set(best)) + 1) <= len(set(values)) <= len(products) / 4:
            best = values
    numbers = {value: number for number, value in enumerate(Counter(value for value in best if value))}
    return np.array([numbers.get(value, -1) for value in best] or [-1] * len(products), dtype=np.int64)


def _neighbourhoods(part: Sequence[Asked], kinds: Ints, evidence: Evidence) -> list[NDArray[np.bool_] | None]:
    """Of each name the products that might answer it: of the product's kind, close to it, or with all of its words."""
    sources = [one.product for one in part]
    cosines = evidence.ruler.text(evidence.prototypes[sources] @ evidence.prototypes.T)
    masks: list[NDArray[np.bool_] | None] = []
    for one, near in zip(part, cosines, strict=True):
        mask = (near >= _CLOSE) | ((kinds == kinds[one.product]) & (kinds[one.product] >= 0))
        mask[_same_thing(evidence.index, one.name)] = True
        mask[one.product] = True
        masks.append(mask)
    return masks


def _same_thing(index: LexicalIndex, name: str) -> Ints:
    return index.same_thing(index.query(name))


def _chunks(asked: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    for at in range(0, len(asked), _CHUNK):
        beat()
        yield asked[at : at + _CHUNK]
