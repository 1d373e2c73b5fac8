"""An inverted index over product names and attributes, and the lexical features of candidates.

Vectors alone link "car battery" to C batteries, because there is always a nearest neighbour. Words show which part of a
name a product covers, whether the heads agree, and whether constraints are satisfied. Terms are weighted by inverse
document frequency. A query term that is missing from the catalog may be a brand that the shop does not carry; one that
is missing from the product usually means a different product.

Compounds are normalised by the catalog's vocabulary: if it contains "coleslaw", the pair "cole slaw" is joined; if it
contains only the pair, the word is split.

Features are computed for all (name, candidate) pairs of a batch together; one by one, a thousand names take seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.linking.index.postings import Ints, Lookup, Postings
from skutune.linking.index.query import Bools, Floats, PairWords, Query, SizeTerm
from skutune.linking.names import attributes, sizes
from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.phrase import WEAK_WORDS, Phrase, read_phrase, satisfied
from skutune.linking.names.sizes import Size
from skutune.records import Product
from skutune.text import normalise_name

WEAK_WEIGHT = 0.15
_PART, _COMPOUND = 3, 6  # letters: shorter parts join by chance
_SERIES = 2  # products that a brand or series has, at least
_ABBREVIATED = 4  # letters: shorter words are not abbreviated
_KEPT_CONSONANTS = 0.7
_VOWELS = frozenset("aeiou")
_CONSTRAINTS = LEXICON.constraints
_BITS = range(len(_CONSTRAINTS))  # of a mask of constraints

FEATURES = (
    "query_coverage",
    "unknown",
    "covered",
    "fits",
    "name_coverage",
    "same_words",
    "head_agrees",
    "head_elsewhere",
    "attribute_coverage",
    "constraint_extra",
    "literal",
    "series",
)
"""The columns of `LexicalIndex.features`, each in [0, 1], shares weighted by idf: the share of the query's terms in the
product's name, of those in the catalog's vocabulary and the head; the share of query terms that are not in the
vocabulary; all strong terms are covered and no size differs; the same and the heads agree; the share of the name's
terms in the query; the same terms in any order; the heads agree; the query's head is elsewhere in the name; the share
of query terms found only in attributes; a constraint that the query does not state; the same name; the query is only
the brand or series that the name begins with."""


class LexicalIndex:
    """An immutable inverted index of a catalog of n products.

    Args:
        vocabulary: the terms of names and attributes.
        names: postings of the terms of names.
        attributes: postings of the terms of attribute values.
        sizes: postings of sizes: a slot ("w") and a slot with its value ("w=60").
        products: arrays of length n: `head` and `first` (terms, -1 for none), `stated` and `met` (masks of constraints:
            in the name; in name or attributes or implied), `signature`, `inverted` and `bag` (numbers of the phrase's),
            and `twins` (a number that products of the very same name share; -1 for the others).
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        names: Postings,
        attributes: Postings,
        sizes: Postings,
        products: dict[str, NDArray[np.generic]],
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.names, self.attributes, self.sizes, self.products = names, attributes, sizes, products
        self.size = len(products["head"])
        self._term_ids = {term: number for number, term in enumerate(self.vocabulary)}
        self._head = products["head"].astype(np.int64)
        self._stated, self._met = products["stated"].astype(np.int64), products["met"].astype(np.int64)
        self.signatures = products["signature"].astype(np.int64)
        self._bags = products["bag"].astype(np.int64)
        self.twins = products["twins"].astype(np.int64)
        self._first = products["first"].astype(np.int64)
        self._series = self._find_series(names, attributes)
        self._abbreviations = _abbreviations(self.vocabulary)
        self._literal = Lookup(self.signatures, products["inverted"].astype(np.int64))
        frequency = np.diff(names.starts)
        self._idf = _idf(frequency, self.size) * _weakness(self.vocabulary)
        self._unknown = float(_idf(np.zeros(1), self.size)[0])
        held = np.repeat(self._idf, frequency)
        self._weight = np.bincount(names.products, weights=held, minlength=self.size).astype(np.float32)
        self._constraint_idf = np.array(
            [_idf(((self._stated >> bit) & 1).sum(), self.size) for bit in _BITS], np.float32
        )

    @classmethod
    def build(cls, products: Sequence[Product]) -> LexicalIndex:
        """Index the names and attribute values of all products."""
        read = [read_phrase(product.name) for product in products]
        known = {term for phrase in read for term in phrase.terms}
        read = [_merged(phrase, known) for phrase in read]
        stated = attributes.read_attributes(products)
        sized = [_size_terms(phrase.sizes | facts.sizes) for phrase, facts in zip(read, stated, strict=True)]
        vocabulary = sorted(
            {term for phrase in read for term in phrase.terms}.union(*(facts.terms for facts in stated), *sized)
        )
        ids = {term: number for number, term in enumerate(vocabulary)}
        of_names, of_attributes, of_sizes = (
            Postings.build([[ids[term] for term in terms] for terms in all_terms], len(vocabulary))
            for all_terms in ([phrase.terms for phrase in read], [facts.terms for facts in stated], sized)
        )
        met = [
            _met(phrase.constraints | facts.stated, facts.denied) for phrase, facts in zip(read, stated, strict=True)
        ]
        arrays: dict[str, NDArray[np.generic]] = {
            "head": np.array([ids[phrase.terms[phrase.head]] if phrase.terms else -1 for phrase in read], np.int32),
            "first": np.array([ids[phrase.terms[0]] if phrase.terms else -1 for phrase in read], np.int32),
            "stated": np.array([_mask(phrase.constraints) for phrase in read], np.int64),
            "met": np.array([_mask(held) for held in met], np.int64),
            "signature": np.array([_number(phrase.signature) for phrase in read], np.int64),
            "inverted": np.array([_number(phrase.inverted_signature) for phrase in read], np.int64),
            "bag": np.array([_number(phrase.bag) for phrase in read], np.int64),
            "twins": _twins(products),
        }
        return cls(vocabulary, of_names, of_attributes, of_sizes, arrays)

    def query(self, name: str) -> Query:
        """The query for a name, in terms of the catalog's vocabulary."""
        phrase = self._read(name)
        distinct = list(dict.fromkeys(phrase.terms))
        ids = np.array([self._term_ids.get(term, -1) for term in distinct], dtype=np.int64)
        weakness = _weakness(distinct)
        strong = weakness == 1
        head = phrase.terms[phrase.head] if phrase.terms else ""
        known = self._idf[ids] if len(self._idf) else np.zeros(len(ids), dtype=np.float32)
        return Query(
            ids=ids,
            weights=np.where(ids >= 0, known, self._unknown * weakness).astype(np.float32),
            strong=strong if strong.any() else np.ones(len(distinct), dtype=bool),
            missed=(ids >= 0) | np.array([term == head for term in distinct], dtype=bool),
            head=self._term_ids.get(head, -1),
            required=_mask(phrase.constraints),
            signatures=(_number(phrase.signature), _number(phrase.inverted_signature)) if phrase.terms else (),
            bag=_number(phrase.bag) if phrase.terms else 0,
            sizes=self._sizes(phrase),
            is_series=bool(len(ids)) and bool((ids >= 0).all() and self._series[ids].all()),
        )

    def _read(self, name: str) -> Phrase:
        """The name as a phrase in the catalog's words; without synonyms where the catalog knows more words then."""
        phrase = self._in_own_words(read_phrase(name))
        if all(term in self._term_ids for term in phrase.terms):
            return phrase
        literal = self._in_own_words(read_phrase(name, replace_synonyms=False))
        unknown, literally_unknown = (
            sum(term not in self._term_ids for term in each.terms) for each in (phrase, literal)
        )
        return literal if literally_unknown < unknown else phrase

    def _in_own_words(self, phrase: Phrase) -> Phrase:
        return self._split(self._abbreviated(_merged(phrase, self._term_ids)))

    def _sizes(self, phrase: Phrase) -> tuple[SizeTerm, ...]:
        asked: dict[str, list[int]] = {}
        for slot, value in sorted(phrase.sizes):
            asked.setdefault(slot, []).append(self._term_ids.get(_size_term(slot, value), -1))
        slots = {slot: self._term_ids.get(_size_term(slot), -1) for slot in asked}
        return tuple(
            SizeTerm(slots[slot], np.array(values, dtype=np.int64), sizes.is_minor(slot))
            for slot, values in asked.items()
            if slots[slot] >= 0
        )

    def violating(self, query: Query) -> Bools | None:
        """The products that violate the query's constraints or differ in size, strength or model: shape (n,).

        None if the query has no constraints.
        """
        mask = (query.required & ~self._met) != 0 if query.required else None
        for size in query.sizes:
            if not size.minor:
                mask = np.zeros(self.size, dtype=bool) if mask is None else mask
                mask[self._of_other_size(size)] = True
        return mask

    def _of_other_size(self, size: SizeTerm) -> Ints:
        """The products that state the slot with other values only."""
        right = [self.sizes.of(value) for value in size.values.tolist() if value >= 0]
        stating = self.sizes.of(size.slot)
        return np.asarray(np.setdiff1d(stating, np.concatenate(right)) if right else stating, dtype=np.int64)

    def size_mismatch(self, queries: Sequence[Query], counts: Ints, products: Ints) -> Bools:
        """Which candidates differ in a size, minor ones included; shapes as of `features`."""
        found = np.zeros(len(products), dtype=bool)
        end = 0
        for query, count in zip(queries, counts.tolist(), strict=True):
            part = slice(end, end := end + count)
            for size in query.sizes:
                found[part] |= np.isin(products[part], self._of_other_size(size))
        return found

    def candidates(self, query: Query, count: int, hidden: Bools | None = None) -> Ints:
        """At most `count` products that share terms with the query, and all literal matches, ascending."""
        touched = [self.names.of(term) for term in query.ids.tolist() if term >= 0]
        if not touched:
            return np.empty(0, dtype=np.int64)
        scores = np.zeros(self.size, dtype=np.float32)
        for products, weight in zip(touched, query.weights[query.ids >= 0].tolist(), strict=True):
            scores[products] += weight
        found = np.concatenate(touched)
        reached = scores[found]
        if hidden is not None:
            kept = ~hidden[found]
            found, reached = found[kept], reached[kept]
        # Among equally covered products a shorter name has fewer other words.
        value = reached * (1 + 0.3 / np.maximum(self._weight[found], 1)) + (self._head[found] == query.head)
        if len(found) > count * len(touched):  # a product is there once for each of its terms
            best = np.argpartition(-value, count * len(touched))[: count * len(touched)]
            found, value = found[best], value[best]
        found, first = np.unique(found, return_index=True)
        if len(found) > count:
            found = found[np.argpartition(-value[first], count)[:count]]
        literal = self.literal(query)
        return np.union1d(found, literal if hidden is None else literal[~hidden[literal]]).astype(np.int64)

    def literal(self, query: Query) -> Ints:
        """The products with the query's name, up to case, plural, spelling and inversion at a comma."""
        return self._literal.of(query.signatures)

    def same_thing(self, query: Query) -> Ints:
        """The products that contain every term of the query and have its head."""
        found = np.flatnonzero(self._head == query.head) if query.head >= 0 else np.empty(0, dtype=np.int64)
        held = self.names.holds(np.repeat(query.ids, len(found)), np.tile(found, len(query.ids)), self.size)
        return found[held.reshape(len(query.ids), len(found)).all(axis=0)]

    def features(self, queries: Sequence[Query], counts: Ints, products: Ints) -> Floats:
        """The lexical features of the candidates of each query.

        Args:
            queries: q queries.
            counts: number of candidates of each query, shape (q,).
            products: the candidates of all queries, concatenated, shape (p,).

        Returns:
            Shape (p, len(FEATURES)).
        """
        words = PairWords.of(queries, counts)
        held = self.names.holds(words.ids, products[words.pair], self.size)
        described = self.attributes.holds(words.ids, products[words.pair], self.size) & ~held
        of = np.repeat(np.arange(len(queries)), counts)
        query_head = np.array([query.head for query in queries], np.int64)[of]
        required = np.array([query.required for query in queries], np.int64)
        asked, stated = self._constraints_weight(required)[of], self._stated[products]
        everything = np.maximum(words.sum(words.weights) + asked, 1e-6)
        known = np.maximum(words.sum(words.weights * words.missed) + asked, 1e-6)
        covered = words.sum(words.weights * held) + asked  # a candidate meets all constraints
        named = self._weight[products] + self._constraints_weight(stated)
        head = self._head[products]
        agrees = (head == query_head) & (query_head >= 0)
        same_size = ~self.size_mismatch(queries, counts, products)
        whole = (words.sum(words.strong & ~held) == 0) & same_size
        fits = whole & agrees
        bags = np.array([query.bag for query in queries], np.int64)[of]
        columns = (
            covered / known,
            words.sum(words.weights * (words.ids < 0)) / everything,
            whole,
            fits,
            np.minimum(
                (covered - asked + self._constraints_weight(stated & required[of])) / np.maximum(named, 1e-6), 1
            ),
            (self._bags[products] == bags) & (bags != 0) & same_size,
            agrees,
            self.names.holds(query_head, products, self.size) & ~agrees,
            words.sum(words.weights * described) / everything,
            (stated & ~required[of]) != 0,
            self._is_literal(queries, of, products) & same_size,
            np.array([query.is_series for query in queries], dtype=bool)[of] & (words.sum(~held) == 0),
        )
        return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)

    def _constraints_weight(self, masks: Ints) -> Floats:
        """The idf weight of the constraints in each mask."""
        weight = np.zeros(len(masks), dtype=np.float32)
        for bit in _BITS:
            if masks.any():
                weight += ((masks >> bit) & 1) * self._constraint_idf[bit]
        return weight

    def _is_literal(self, queries: Sequence[Query], of: Ints, products: Ints) -> Bools:
        found = np.zeros(len(products), dtype=bool)
        inverted = self.products["inverted"].astype(np.int64)[products]
        for place in (0, 1):
            asked = np.array([query.signatures[place] if query.signatures else 0 for query in queries], np.int64)[of]
            found |= (asked != 0) & ((self.signatures[products] == asked) | (inverted == asked))
        return found

    def _find_series(self, names: Postings, attributes: Postings) -> Bools:
        """Which terms of the vocabulary are brands or series: several names begin with them, and no other has them."""
        frequency = np.diff(names.starts)
        beginning = np.bincount(self._first[self._first >= 0], minlength=len(frequency))
        is_head = np.bincount(self._head[self._head >= 0], minlength=len(frequency)) > 0
        is_word = np.array([term.isalpha() and len(term) >= _PART for term in self.vocabulary], dtype=bool)
        in_attributes = np.diff(attributes.starts) > 0
        strong = _weakness(self.vocabulary) == 1
        return np.asarray(
            (frequency >= _SERIES) & (beginning == frequency) & ~is_head & ~in_attributes & is_word & strong
        )

    def _abbreviated(self, phrase: Phrase) -> Phrase:
        """Words that the catalog does not know but abbreviates: chicken → chkn."""
        terms = tuple(
            term if term in self._term_ids else _abbreviation_of(term, self._abbreviations) for term in phrase.terms
        )
        return phrase if terms == phrase.terms else replace(phrase, terms=terms)

    def _split(self, phrase: Phrase) -> Phrase:
        """Split words that are in the vocabulary only as a pair: coleslaw → cole slaw."""
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


def _abbreviations(vocabulary: Sequence[str]) -> dict[str, list[str]]:
    """The terms without a vowel, by their first letter, the longest first: abbreviations of words without it."""
    found: dict[str, list[str]] = {}
    for term in sorted(vocabulary, key=len, reverse=True):
        if len(term) >= _PART and term.isascii() and term.isalpha() and not _VOWELS.intersection(term):
            found.setdefault(term[0], []).append(term)
    return found


def _abbreviation_of(word: str, abbreviations: Mapping[str, Sequence[str]]) -> str:
    """The catalog's abbreviation of a word, or the word itself.

    An abbreviation has the word's first and last consonants, and most of the others in their order.
    """
    consonants = [letter for letter in word.rstrip("s") if letter not in _VOWELS]
    if len(word) < _ABBREVIATED or not consonants:
        return word
    for term in abbreviations.get(word[0], ()):
        letters = iter(word)
        if (
            all(letter in letters for letter in term)
            and term[-1] == consonants[-1]
            and len(term) >= _KEPT_CONSONANTS * len(consonants)
        ):
            return term
    return word


def _twins(products: Sequence[Product]) -> Ints:
    # Numbered by a dict: an array of texts gives each the room of the longest, and one name may be 100,000 letters.
    numbers: dict[str, int] = {}
    names = [normalise_name(product.name) for product in products]
    group = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    shared = np.bincount(group)[group] > 1
    named = np.array([bool(name) for name in names], dtype=bool)  # "!!!" and "?" are not one name
    return np.asarray(np.where(shared & named, group, -1), dtype=np.int64)


def _merged(phrase: Phrase, known: set[str] | dict[str, int]) -> Phrase:
    """Join neighbouring terms that are one word of the vocabulary: cole slaw → coleslaw."""
    if len(phrase.terms) < 2:
        return phrase
    terms, main, head, at = list(phrase.terms), phrase.main, phrase.head, 0
    while at + 1 < len(terms):
        left, right = terms[at : at + 2]
        if min(len(left), len(right)) >= _PART and len(left + right) >= _COMPOUND and left + right in known:
            terms[at : at + 2] = [left + right]
            main -= at + 1 < phrase.main
            head -= at < head
        at += 1
    return replace(phrase, terms=tuple(terms), main=main, head=head)


def _met(stated: frozenset[str], denied: frozenset[str]) -> frozenset[str]:
    """The satisfied constraints, without those that imply a denied one."""
    return frozenset(one for one in satisfied(stated) if not denied & satisfied(frozenset({one})))


def _size_terms(told: Iterable[Size]) -> list[str]:
    return [term for slot, value in told for term in (_size_term(slot), _size_term(slot, value))]


def _size_term(slot: str, value: str = "") -> str:
    """A size as a term of the vocabulary; the = distinguishes it from words."""
    return f"={slot}={value}"


def _idf(frequency: Any, size: int) -> Floats:
    """Smoothed inverse document frequency; 1 for a term of all products."""
    return (np.log((size + 1) / (np.asarray(frequency, dtype=np.float64) + 1)) + 1).astype(np.float32)


def _weakness(terms: Sequence[str]) -> Floats:
    return np.array([WEAK_WEIGHT if term in WEAK_WORDS or term[0].isdigit() else 1 for term in terms], np.float32)


def _mask(constraints: frozenset[str]) -> int:
    return sum(1 << place for place, constraint in enumerate(_CONSTRAINTS) if constraint in constraints)


def _number(signature: str) -> int:
    """A positive 62-bit number for a signature; 0 is kept for none."""
    if not signature:
        return 0
    return (int.from_bytes(hashlib.blake2b(signature.encode(), digest_size=8).digest(), "big") >> 2) or 1
