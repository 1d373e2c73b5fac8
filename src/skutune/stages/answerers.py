"""The systems of an evaluation, one after another: each loaded when its turn comes, and freed for the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch

from skutune import linking
from skutune.answering import AnswerModel
from skutune.answers import Reference
from skutune.decoding.constrained import generate_tokens
from skutune.errors import InputError
from skutune.evaluation.recall import IDENTITY_TOKENS, Identities, IdentityMask
from skutune.evaluation.retrieval import SHOWN, Search, VectorSearch, WordSearch, document, render_found
from skutune.linking import Linker
from skutune.linking.named import NamedProducts
from skutune.prompts.asking import question_messages
from skutune.prompts.identify import render_identity
from skutune.pulse import slow
from skutune.records import Description, Product
from skutune.stages.base import Context
from skutune.stages.catalog_trie import kept_trie


@dataclass(frozen=True, slots=True)
class Given:
    """An answer; `seconds` is the batch's time divided by its questions, `tokens` are those written."""

    text: str
    tokens: int
    seconds: float


class Answerer(Protocol):
    """One system."""

    def answer(self, questions: Sequence[str]) -> list[str]:
        """The answers to one batch of questions."""
        ...

    def identify(self, prompts: Sequence[str], descriptions: Sequence[str]) -> list[str] | None:
        """`NAME: id ID` for each description, asked by its prompt; None for a system that nothing is recalled from."""
        ...

    def tokens(self, text: str) -> int:
        """How many tokens of a model a text is."""
        ...


class Answerers:
    """The systems that a config names, over one catalog.

    `linker` is that of the classify stage, whose lexical index also reads what questions demand; `products` are the
    catalog's in the order of its rows.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.evaluate
        self.linker: Linker = linking.load(context.inputs.folder("classify", "linker"))
        products = {product.id: product for product in context.inputs.rows("ingest", Product)}
        self.products: list[Product] = [products[each] for each in self.linker.ids]

    def each(self) -> Iterator[tuple[str, Answerer]]:
        """The systems with their names, those of one model together."""
        for kind in ("base", "tuned"):
            own = [system for system in self.config.systems if system.startswith(kind)]
            if own:
                with self._model(kind) as model:
                    for system in own:
                        yield system, self._answerer(system, model)
        if "retrieval" in self.config.systems:
            yield "retrieval", Searching(self._search(), self.products)

    @contextmanager
    def _model(self, kind: str) -> Iterator[AnswerModel]:
        """Base or tuned model in memory, as it answers afterwards: with the adapter's weights added to the base's."""
        base, models = self.context.base(), self.context.config.models
        products = [(product.id, product.name) for product in self.products]
        adapter = None
        if kind == "tuned" and not self.context.config.stages.finetune.trains_adapter:
            base = self.context.inputs.folder("finetune", "model")
        elif kind == "tuned":
            adapter = self.context.inputs.folder("finetune", "adapter")
        with slow():
            trie = kept_trie(self.context.inputs)
            model = AnswerModel.load(base, adapter, products, dtype=models.base.dtype, trie=trie)
        yield model
        del model.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _answerer(self, system: str, model: AnswerModel) -> Answerer:
        if "-" not in system:
            return Free(model, self.config.max_tokens)
        linked = None
        if system.endswith("-linked"):
            linked = NamedProducts(self.linker, self.context.encoder(), self.context.config.stages.link)
        return Constrained(model, self.config.max_tokens, linked, self.products)

    def _search(self) -> Search:
        if self.config.retrieval == "encoder":
            return VectorSearch(self.linker.evidence.names, self.context.encoder())
        told = self.context.inputs.rows("describe", Description)
        descriptions = {row.product_id: row.text for row in told if row.rejected is None}
        return WordSearch(document(product, descriptions.get(product.id)) for product in self.products)


@dataclass(frozen=True, slots=True)
class Free:
    """A model as it is: nothing but training keeps its ids right."""

    model: AnswerModel
    max_tokens: int

    def answer(self, questions: Sequence[str]) -> list[str]:
        with _told():
            return self.model.unconstrained(questions, max_tokens=self.max_tokens, batch_size=len(questions))

    def identify(self, prompts: Sequence[str], descriptions: Sequence[str]) -> list[str] | None:
        return self.model.unconstrained(prompts, max_tokens=IDENTITY_TOKENS, batch_size=len(prompts))

    def tokens(self, text: str) -> int:
        return _count(self.model, text)


class Constrained:
    """A model in the answer's template, with all products to choose from, or those that its names are linked to."""

    def __init__(
        self, model: AnswerModel, max_tokens: int, linked: NamedProducts | None, products: Sequence[Product]
    ) -> None:
        self._model, self._max_tokens, self._linked, self._products = model, max_tokens, linked, products

    def answer(self, questions: Sequence[str]) -> list[str]:
        with _told():
            answered = self._model.ask_many(
                questions, linked=self._linked, max_tokens=self._max_tokens, batch_size=len(questions)
            )
        return [each.text for each in answered]

    def identify(self, prompts: Sequence[str], descriptions: Sequence[str]) -> list[str] | None:
        if self._linked is not None:  # there is no name to link: the whole catalog is open again
            return None
        mask: Any = IdentityMask(self._identities)
        tokenizer, ends = self._model.tokenizer, self._model.vocabulary.ends
        written = generate_tokens(
            self._model.model,
            tokenizer,
            [question_messages(prompt) for prompt in prompts],
            max_tokens=self._identities.max_tokens,
            temperature=0.0,
            ends=ends,
            mask=mask,
        )
        return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]

    def tokens(self, text: str) -> int:
        return _count(self._model, text)

    @cached_property
    def _identities(self) -> Identities:
        pairs = [(product.id, product.name) for product in self._products]
        return Identities(pairs, self._model.tokenizer, self._model.vocabulary.ends)


@dataclass(frozen=True, slots=True)
class Searching:
    """A search and no model."""

    search: Search
    products: Sequence[Product]

    def answer(self, questions: Sequence[str]) -> list[str]:
        return [render_found([self._reference(row) for row in rows]) for rows in self.search.find(questions, SHOWN)]

    def identify(self, prompts: Sequence[str], descriptions: Sequence[str]) -> list[str] | None:
        found = self.search.find(descriptions, 1)
        return [render_identity(self._reference(rows[0])) if rows else "" for rows in found]

    def tokens(self, text: str) -> int:
        return 0

    def _reference(self, row: int) -> Reference:
        return Reference(self.products[row].id, self.products[row].name)


def timed(answerer: Answerer, questions: Sequence[str], batch_size: int) -> Iterator[Given]:
    """The answers to all questions in their order, in batches that are the same in every run."""
    for start in range(0, len(questions), batch_size):
        batch = questions[start : start + batch_size]
        begun = time.monotonic()
        texts = answerer.answer(batch)
        seconds = (time.monotonic() - begun) / len(batch)
        yield from (Given(text, answerer.tokens(text), seconds) for text in texts)


@contextmanager
def _told() -> Iterator[None]:
    """Says which setting is meant where an answer has too little room, or too much for the model."""
    try:
        yield
    except InputError as error:
        raise InputError(f"stages.evaluate.max_tokens: {error}") from error


def _count(model: AnswerModel, text: str) -> int:
    return len(model.tokenizer(text, add_special_tokens=False)["input_ids"])
