"""A baseline without an LLM: the search results for a question or a description.

Its answers are written in the answer format, so that the same measures apply to them: what a fine-tuned model must
beat is not the base model alone but the search that a shop has already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from skutune.answer_format import AnswerItem, AnswerText, Reference, render
from skutune.engines.base import Encoder
from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.stem import stem
from skutune.linking.vectors.classifier import Floats
from skutune.records import Product
from skutune.text import words

SHOWN = 3
_STOP_WORDS = frozenset(LEXICON.stop_words + LEXICON.question_stop_words)


class Search(Protocol):
    """Finds products by a text."""

    def find(self, texts: Sequence[str], count: int) -> list[list[int]]:
        """The rows of the `count` best products for each text, best first, without those that share no term."""
        ...


class WordSearch:
    """BM25 (S. Robertson, H. Zaragoza, 2009; Lucene's variant as in the package bm25s) over stems of words."""

    def __init__(self, documents: Iterable[str]) -> None:
        """One document a product, in the products' order."""
        import bm25s

        terms = [_terms(document) for document in documents]
        self._size = len(terms)
        self._known = {term for document in terms for term in document}
        self._index = bm25s.BM25()
        if self._known:
            self._index.index(terms, show_progress=False)

    def find(self, texts: Sequence[str], count: int) -> list[list[int]]:
        return [self._find([term for term in _terms(text) if term in self._known], count) for text in texts]

    def _find(self, terms: list[str], count: int) -> list[int]:
        if not terms:
            return []
        scores = self._index.get_scores(terms)[: self._size]
        best = np.argsort(-scores, kind="stable")[:count]
        return [int(row) for row in best if scores[row] > 0]


class VectorSearch:
    """Nearest product names by the encoder's vectors, shape (n, d); never empty."""

    def __init__(self, names: Floats, encoder: Encoder) -> None:
        self._names, self._encoder = names, encoder

    def find(self, texts: Sequence[str], count: int) -> list[list[int]]:
        if not texts:
            return []
        cosines = self._encoder.encode(list(texts)) @ self._names.T
        return [[int(row) for row in best] for best in np.argsort(-cosines, axis=1, kind="stable")[:, :count]]


def document(product: Product, description: str | None) -> str:
    """The text of a product that is indexed: name, attributes and description."""
    return " ".join([product.name, *product.attributes.values(), description or ""])


def render_found(products: Sequence[Reference]) -> str:
    """Search results as an answer; without results, one recommendation without a close product."""
    references: list[Reference | None] = list(products) or [None]
    items = tuple(
        AnswerItem(f"Result {place}", "It matches the words of the question.", product)
        for place, product in enumerate(references, start=1)
    )
    return render(AnswerText("These products were found for the question:", items, "They are listed best first."))


def _terms(text: str) -> list[str]:
    return [stem(word) for word in words(text) if word not in _STOP_WORDS]
