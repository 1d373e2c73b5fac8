"""What every method of linking is fitted on and asked: the same vectors, the same split, over 49,688 products.

Fitted on: the names and template texts of all products, and what an LLM wrote about half of the sample. Asked are two
kinds of text, which are never mixed. A *paraphrase* speaks of one product, which alone is right. A *generic* name asks
for any product of a kind, and many are right. Look-alikes are asked by name and by a text of another template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from skutune.linking import query_text
from skutune.records import Product
from skutune.text import words
from tests.grocery import vectors
from tests.grocery.catalog import TEMPLATES, catalog
from tests.grocery.labels import load_labels
from tests.grocery.lookalikes import prefixes, same_words
from tests.grocery.written import Written, load_written

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

TAUGHT = 2  # variants of a product of the sample that are fitted on, beside its description
OTHERS = 500  # products besides the sample in the subset that LogisticRegression can take


@dataclass(frozen=True, slots=True)
class Asked:
    """Texts of one kind, their vectors (n, d), and for each the places of the products that are right."""

    kind: str
    what: str
    texts: list[str]
    vectors: Floats
    right: list[Ints]


@dataclass(frozen=True, slots=True)
class Split:
    """Texts to fit on, as vectors (m, d) with the places of their products (m,) and what each is, and tests.

    `kinds` holds name, description or variant of each text.
    """

    products: list[Product]
    vectors: Floats
    labels: Ints
    kinds: list[str]
    tests: list[Asked]


def load_split() -> Split:
    """The whole catalog."""
    products, written = list(catalog()), load_written()
    places = {product.id: place for place, product in enumerate(products)}
    taught, unseen = written[0::2], written[1::2]
    everything = np.arange(len(products))
    told = [(text, places[one.id]) for one in taught for text in (one.description, *one.variants[:TAUGHT]) if text]
    blocks: list[tuple[Callable[[], Floats], Ints, Ints, str]] = [(vectors.names, everything, everything, "name")]
    for number in range(len(TEMPLATES)):
        kind = "variant" if number else "description"
        blocks.append((partial(vectors.template, number), everything, everything, kind))
    own = np.array([place for _, place in told])
    blocks.append((partial(_encoded, "taught", told), np.arange(len(told)), own, "variant"))
    return Split(
        products,
        _filled(blocks),
        np.concatenate([labels for _, _, labels, _ in blocks]),
        [kind for _, rows, _, kind in blocks for _ in rows],
        [*_paraphrases(taught, unseen, places), *_generic(written, places), *_lookalikes(products)],
    )


def _filled(blocks: Sequence[tuple[Callable[[], Floats], Ints, Ints, str]]) -> Floats:
    """The chosen rows of each block, one under the other; no more than one block is there twice."""
    whole = np.empty((sum(len(rows) for _, rows, _, _ in blocks), vectors.names().shape[1]), dtype=np.float32)
    at = 0
    for load, rows, _, _ in blocks:
        whole[at : at + len(rows)] = load()[rows]
        at += len(rows)
    return whole


def subset(split: Split) -> Split:
    """The sample's products and some others, alone: names and texts of no other product are there."""
    sample = {one.id for one in load_written()}
    rest = [place for place, product in enumerate(split.products) if product.id not in sample]
    chosen = np.random.default_rng(0).choice(rest, OTHERS, replace=False)
    inside = np.array([product.id in sample for product in split.products])
    inside[chosen] = True
    place = np.cumsum(inside) - 1
    rows = np.flatnonzero(inside[split.labels])
    return Split(
        [split.products[each] for each in np.flatnonzero(inside)],
        split.vectors[rows],
        place[split.labels[rows]],
        [split.kinds[row] for row in rows],
        [replace(test, right=[place[each] for each in test.right]) for test in split.tests if test.kind == PARAPHRASE],
    )


PARAPHRASE, GENERIC, LOOKALIKE = "paraphrase", "generic", "look-alikes"


def _paraphrases(taught: Sequence[Written], unseen: Sequence[Written], places: dict[str, int]) -> Iterable[Asked]:
    later = [(text, places[one.id]) for one in taught for text in one.variants[TAUGHT:]]
    first = [(text, places[one.id]) for one in unseen for text in one.variants]
    yield _of_one(PARAPHRASE, "LLM's other texts of the product were fitted on", later, "later-variants")
    yield _of_one(PARAPHRASE, "no LLM's text of the product was fitted on", first, "unseen-variants")


def _generic(written: Sequence[Written], places: dict[str, int]) -> Iterable[Asked]:
    labelled = [one for one in load_labels("test.json") if one.acceptable.any()]
    names = [one.name for one in labelled]
    yield _asked("names labelled by hand", names, [np.flatnonzero(one.acceptable) for one in labelled], "labelled")
    short = [one for one in written if one.short]
    holding = _holding([one.short for one in short])
    right = [np.union1d(found, [places[one.id]]) for one, found in zip(short, holding, strict=True)]
    yield _asked("LLM's short names of products", [one.short for one in short], right, "short")


def _lookalikes(products: Sequence[Product]) -> Iterable[Asked]:
    for what, mask in (("begin another name", prefixes(products)), ("share their words", same_words(products))):
        rows = np.flatnonzero(mask)
        right = [rows[at : at + 1] for at in range(len(rows))]
        names = [products[row].name for row in rows.tolist()]
        yield Asked(LOOKALIKE, f"{what}: name", names, vectors.names()[rows], right)
        texts = [_other_template(products[row]) for row in rows.tolist()]
        yield Asked(LOOKALIKE, f"{what}: template", texts, vectors.encoded("alike", texts), right)


def _other_template(product: Product) -> str:
    return f"We ran out of {product.name} yesterday, so bring some when you pass {product.attributes['aisle']}."


def _holding(names: Sequence[str]) -> list[Ints]:
    """Which products have all words of each name, up to a plural's s."""
    held = [_words(product.name) for product in catalog()]
    return [np.array([at for at, each in enumerate(held) if _words(name) <= each], np.int64) for name in names]


def _words(name: str) -> frozenset[str]:
    return frozenset(word.removesuffix("s") for word in words(name))


def _of_one(kind: str, what: str, texts: Sequence[tuple[str, int]], cached: str) -> Asked:
    right = [np.array([place]) for _, place in texts]
    return Asked(kind, what, [text for text, _ in texts], _encoded(cached, texts), right)


def _asked(what: str, names: list[str], right: list[Ints], cached: str) -> Asked:
    return Asked(GENERIC, what, names, vectors.encoded(cached, [query_text(name, None) for name in names]), right)


def _encoded(cached: str, texts: Sequence[tuple[str, int]]) -> Floats:
    return vectors.encoded(cached, [text for text, _ in texts])
