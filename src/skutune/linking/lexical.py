"""An inverted index over product names and attributes, and what the words say for or against a product.

Vectors alone link "car battery" to C batteries: they always have a nearest. The words say which part of a name a
product covers, whether the two heads agree, and whether a constraint is met. Terms are weighted by how rare they are in
this catalog (idf); a word that the catalog does not hold weighs most, so a name with such a word is hardly covered.

Compounds are brought to one form from the catalog's own vocabulary: where "coleslaw" is a word, the pair "cole slaw"
is that word; where only the pair is in the catalog, the word is split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skutune.linking import phrases
from skutune.linking.phrases import Phrase
from skutune.records import Product

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

WEAK_WEIGHT = 0.15
_PART, _COMPOUND = 3, 6  # letters: shorter parts join by chance

FEATURES = (
    "query_coverage",
    "name_coverage",
    "covered",
    "head_agrees",
    "head_elsewhere",
    "attribute_coverage",
    "constraint_missing",
    "constraint_extra",
    "literal",
)
"""The columns of `LexicalIndex.features`, each in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Query:
    """A name as the index sees it: `ids` are its distinct terms (-1: not in the catalog), `weights` their idf.

    `strong` marks the terms that say what the thing is; all of them, where none does.
    """

    ids: Ints
    weights: Floats
    strong: NDArray[np.bool_]
    head: int
    required: int
    unknown_constraint: bool
    signature: int


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term the sorted products that hold it: `products[starts[t]:starts[t + 1]]`."""

    starts: Ints
    products: NDArray[np.int32]
    keys: Ints  # term × products + product, ascending: one search answers "does product p hold term t?"

    @classmethod
    def build(cls, terms: Sequence[Sequence[int]], vocabulary: int) -> Postings:
        """From the term ids of each product."""
        size = max(len(terms), 1)
        pairs = [term * size + product for product, held in enumerate(terms) for term in set(held)]
        keys = np.sort(np.asarray(pairs, dtype=np.int64))
        starts = np.searchsorted(keys, np.arange(vocabulary + 1, dtype=np.int64) * size)
        return cls(starts.astype(np.int64), (keys % size).astype(np.int32), keys)

    def of(self, term: int) -> NDArray[np.int32]:
        """The products that hold a term."""
        return self.products[self.starts[term] : self.starts[term + 1]]

    def holds(self, terms: Ints, products: Ints, size: int) -> NDArray[np.bool_]:
        """Which products hold which terms: shape (terms, products)."""
        wanted = terms[:, None] * size + products[None, :]
        if not len(self.keys):
            return np.zeros(wanted.shape, dtype=bool)
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.asarray((self.keys[places] == wanted) & (terms >= 0)[:, None])


class LexicalIndex:
    """Words of a catalog's n products. Build once, then ask; nothing changes afterwards."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        constraints: Sequence[str],
        names: Postings,
        attributes: Postings,
        products: dict[str, NDArray[np.generic]],
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.constraints = list(constraints)
        self.names, self.attributes = names, attributes
        self._products = products
        self.size = len(products["head"])
        self._term_ids = {term: number for number, term in enumerate(self.vocabulary)}
        self._head = products["head"].astype(np.int64)
        self._stated = products["stated"].astype(np.int64)
        self._met = products["met"].astype(np.int64)
        self.signatures = products["signature"].astype(np.int64)
        self._by_signature = np.argsort(self.signatures, kind="stable")
        self._ordered = self.signatures[self._by_signature]
        frequency = np.diff(names.starts)
        self._idf = _idf(frequency, self.size) * _weakness(self.vocabulary)
        held = np.repeat(self._idf, frequency)
        self._weight = np.bincount(names.products, weights=held, minlength=self.size).astype(np.float32)

    @classmethod
    def build(cls, products: Sequence[Product]) -> LexicalIndex:
        """Index the names, and the words of the attributes' values, of all products."""
        read = [phrases.read(product.name) for product in products]
        known = {term for phrase in read for term in phrase.terms}
        read = [_merged(phrase, known) for phrase in read]
        described = _attribute_phrases(products)
        vocabulary = sorted(
            {term for phrase in read for term in phrase.terms}.union(*(terms for terms, _ in described))
        )
        ids = {term: number for number, term in enumerate(vocabulary)}
        names = Postings.build([[ids[term] for term in phrase.terms] for phrase in read], len(vocabulary))
        attributes = Postings.build([[ids[term] for term in terms] for terms, _ in described], len(vocabulary))
        order = phrases.CONSTRAINTS
        met = [phrases.satisfied(phrase.constraints | more) for phrase, (_, more) in zip(read, described, strict=True)]
        arrays: dict[str, NDArray[np.generic]] = {
            "head": np.array([ids[phrase.terms[phrase.head]] if phrase.terms else -1 for phrase in read], np.int32),
            "stated": np.array([_mask(phrase.constraints, order) for phrase in read], np.int64),
            "met": np.array([_mask(held, order) for held in met], np.int64),
            "signature": np.array([_number(phrase.signature) for phrase in read], np.int64),
        }
        return cls(vocabulary, order, names, attributes, arrays)

    def query(self, name: str) -> Query:
        """The name in the catalog's own words."""
        phrase = self._split(_merged(phrases.read(name), self._term_ids))
        distinct = list(dict.fromkeys(phrase.terms))
        ids = np.array([self._term_ids.get(term, -1) for term in distinct], dtype=np.int64)
        strong = _weakness(distinct) == 1
        unknown = _idf(np.zeros(1), self.size)[0] * _weakness(distinct)
        weights = np.where(ids >= 0, self._idf[ids], unknown) if len(self._idf) else unknown
        return Query(
            ids=ids,
            weights=weights.astype(np.float32),
            strong=strong if strong.any() else np.ones(len(distinct), dtype=bool),
            head=self._term_ids.get(phrase.terms[phrase.head], -1) if phrase.terms else -1,
            required=_mask(phrase.constraints, self.constraints),
            unknown_constraint=not phrase.constraints.issubset(self.constraints),
            signature=_number(phrase.signature) if phrase.terms else 0,
        )

    def candidates(self, query: Query, count: int, hidden: NDArray[np.bool_] | None = None) -> Ints:
        """At most `count` products that share words with the query, and all that are literally it."""
        scores = np.zeros(self.size, dtype=np.float32)
        for term, weight in zip(query.ids, query.weights, strict=True):
            if term >= 0:
                scores[self.names.of(term)] += weight
        if hidden is not None:
            scores[hidden] = 0
        found = np.flatnonzero(scores)
        if len(found) > count:
            # Among equally covered products the shorter name says less that was not asked for.
            value = scores[found] * (1 + 0.3 / np.maximum(self._weight[found], 1)) + (self._head[found] == query.head)
            found = found[np.argpartition(-value, count)[:count]]
        literal = self.literal(query)
        return np.union1d(found, literal if hidden is None else literal[~hidden[literal]])

    def literal(self, query: Query) -> Ints:
        """The products whose name is the query's, up to case, plural and spelling."""
        if not query.signature:
            return np.empty(0, dtype=np.int64)
        first, last = np.searchsorted(self._ordered, [query.signature, query.signature + 1])
        return self._by_signature[first:last].astype(np.int64)

    def same_thing(self, query: Query) -> Ints:
        """The products that the words alone make a fair answer: they hold every word of the query, and its head."""
        found = np.flatnonzero(self._head == query.head) if query.head >= 0 else np.empty(0, dtype=np.int64)
        return found[self.names.holds(query.ids, found, self.size).all(axis=0)]

    def features(self, query: Query, products: Ints) -> Floats:
        """What the words say about each product: shape (len(products), len(FEATURES))."""
        held = self.names.holds(query.ids, products, self.size)
        described = self.attributes.holds(query.ids, products, self.size) & ~held
        total = max(float(query.weights.sum()), 1e-6)
        covered = query.weights @ held if len(query.ids) else np.zeros(len(products))
        coverage = covered / total
        head = self._head[products]
        here = self.names.holds(np.array([query.head]), products, self.size)[0]
        missing = (query.required & ~self._met[products]) != 0
        extra = (self._stated[products] & ~query.required) != 0
        columns = (
            coverage,
            covered / np.maximum(self._weight[products], 1e-6),
            held[query.strong].all(axis=0) if len(query.ids) else np.zeros(len(products)),
            (head == query.head) & (query.head >= 0),
            here & (head != query.head),
            (query.weights @ described if len(query.ids) else np.zeros(len(products))) / total,
            missing | query.unknown_constraint,
            extra,
            (self.signatures[products] == query.signature) & (query.signature != 0),
        )
        return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)

    def save(self, folder: Path) -> None:
        """Write `lexical.safetensors` and `lexical.json`."""
        from safetensors.numpy import save_file

        arrays = dict(self._products)
        for part, postings in (("name", self.names), ("attribute", self.attributes)):
            arrays |= {f"{part}_starts": postings.starts, f"{part}_products": postings.products}
        save_file(arrays, folder / "lexical.safetensors")
        words = {"vocabulary": self.vocabulary, "constraints": self.constraints}
        (folder / "lexical.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / "lexical.safetensors")
        document = json.loads((folder / "lexical.json").read_text(encoding="utf-8"))
        size = max(len(arrays["head"]), 1)
        parts = []
        for part in ("name", "attribute"):
            starts, products = arrays.pop(f"{part}_starts"), arrays.pop(f"{part}_products")
            keys = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) * size + products
            parts.append(Postings(starts, products, keys.astype(np.int64)))
        return cls(document["vocabulary"], document["constraints"], parts[0], parts[1], arrays)

    def _split(self, phrase: Phrase) -> Phrase:
        """Words that the catalog only holds as a pair, split: coleslaw → cole slaw."""
        for at, term in enumerate(phrase.terms):
            if term in self._term_ids or len(term) < _COMPOUND:
                continue
            for cut in range(_PART, len(term) - _PART + 1):
                left, right = self._term_ids.get(term[:cut]), self._term_ids.get(term[cut:])
                if left is None or right is None:
                    continue
                if len(np.intersect1d(self.names.of(left), self.names.of(right))):
                    terms = (*phrase.terms[:at], term[:cut], term[cut:], *phrase.terms[at + 1 :])
                    later = int(phrase.head >= at)
                    return replace(phrase, terms=terms, main=phrase.main + 1, head=phrase.head + later)
        return phrase


def _attribute_phrases(products: Sequence[Product]) -> list[tuple[tuple[str, ...], frozenset[str]]]:
    """The terms and constraints of each product's attribute values; each distinct value is read once."""
    seen: dict[str, Phrase] = {}
    found = []
    for product in products:
        read = [seen.get(value) or seen.setdefault(value, phrases.read(value)) for value in product.attributes.values()]
        constraints = frozenset[str]().union(*(phrase.constraints for phrase in read))
        found.append((tuple(term for phrase in read for term in phrase.terms), constraints))
    return found


def _merged(phrase: Phrase, known: set[str] | dict[str, int]) -> Phrase:
    """Neighbouring terms that are one word of the vocabulary, joined: cole slaw → coleslaw."""
    terms, main, head, at = list(phrase.terms), phrase.main, phrase.head, 0
    while at + 1 < len(terms):
        left, right = terms[at : at + 2]
        if min(len(left), len(right)) >= _PART and len(left + right) >= _COMPOUND and left + right in known:
            terms[at : at + 2] = [left + right]
            main -= at + 1 < phrase.main
            head -= at < head
        at += 1
    return replace(phrase, terms=tuple(terms), main=main, head=head)


def _idf(frequency: NDArray[np.generic], size: int) -> Floats:
    return (np.log((size + 1) / (frequency.astype(np.float64) + 1)) + 1).astype(np.float32)


def _weakness(terms: Sequence[str]) -> Floats:
    return np.array([WEAK_WEIGHT if term in phrases.WEAK or term[0].isdigit() else 1 for term in terms], np.float32)


def _mask(constraints: frozenset[str], order: Sequence[str]) -> int:
    return sum(1 << place for place, constraint in enumerate(order) if constraint in constraints)


def _number(signature: str) -> int:
    """A positive 62-bit number for a signature; 0 is kept for none."""
    return (int.from_bytes(hashlib.blake2b(signature.encode(), digest_size=8).digest(), "big") >> 2) or 1
