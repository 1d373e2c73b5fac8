"""The systems of an evaluation; their models are loaded one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from skutune.answer_format import Reference
from skutune.config.schema import EvaluateConfig, LinkConfig
from skutune.decoding.generate import generate_tokens
from skutune.decoding.trie import TokenTrie
from skutune.engines.base import Encoder
from skutune.errors import InputError
from skutune.evaluation.recall import IDENTITY_TOKENS, Identities, IdentityMask
from skutune.evaluation.retrieval import SHOWN, Search, VectorSearch, WordSearch, document, render_found
from skutune.linking import Linker
from skutune.linking.resolve import NameResolver
from skutune.process.watchdog import extended
from skutune.prompts.asking import question_messages
from skutune.prompts.identify import render_identity
from skutune.records import Description, Product
from skutune.serving.answer_model import AnswerModel, Dtype


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """An answer; `seconds` is the batch's time divided by its questions, `tokens` are those written."""

    text: str
    tokens: int
    seconds: float


class System(Protocol):
    """One system."""

    def answer(self, questions: Sequence[str]) -> list[str]:
        """The answers to one batch of questions."""
        ...

    def identify(self, prompts: Sequence[str], descriptions: Sequence[str]) -> list[str] | None:
        """`NAME: id ID` for each description; None if the system does not identify products."""
        ...

    def tokens(self, text: str) -> int:
        """The number of tokens of a text."""
        ...


@dataclass(frozen=True)
class Models:
    """The models of an evaluation, located lazily.

    `base` gives the folder of the base model and frees what else is in memory; `tuned` that of the fine-tuned one, an
    adapter if `is_adapter`. `trie` is the catalog's, where the fine-tuning kept one.
    """

    base: Callable[[], Path]
    tuned: Callable[[], Path]
    is_adapter: bool
    dtype: Dtype
    trie: Callable[[], TokenTrie | None]
    encoder: Callable[[], Encoder]


@dataclass(frozen=True)
class Systems:
    """The systems that a config names, over one catalog.

    `linker` is that of the classify stage, whose lexical index also reads what questions demand; `products` are the
    catalog's in the order of its rows, `descriptions` what the search by words reads beside them.
    """

    config: EvaluateConfig
    link: LinkConfig
    models: Models
    linker: Linker
    products: Sequence[Product]
    descriptions: Callable[[], Iterable[Description]]

    def each(self) -> Iterator[tuple[str, System]]:
        """The systems by name, grouped by model."""
        for kind in ("base", "tuned"):
            own = [system for system in self.config.systems if system.startswith(kind)]
            if own:
                with self._model(kind) as model:
                    for system in own:
                        yield system, self._system(system, model)
        if "retrieval" in self.config.systems:
            yield "retrieval", Retrieval(self._search(), self.products)

    @contextmanager
    def _model(self, kind: str) -> Iterator[AnswerModel]:
        """Load the base or tuned model, with the adapter merged."""
        base, adapter = self.models.base(), None
        products = [(product.id, product.name) for product in self.products]
        if kind == "tuned" and self.models.is_adapter:
            adapter = self.models.tuned()
        elif kind == "tuned":
            base = self.models.tuned()
        with extended():
            model = AnswerModel.load(base, adapter, products, dtype=self.models.dtype, trie=self.models.trie())
        yield model
        del model.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _system(self, system: str, model: AnswerModel) -> System:
        if "-" not in system:
            return Free(model, self.config.max_tokens)
        linked = None
        if system.endswith("-linked"):
            linked = NameResolver(self.linker, self.models.encoder(), self.link)
        return Constrained(model, self.config.max_tokens, linked, self.products)

    def _search(self) -> Search:
        if self.config.retrieval == "encoder":
            return VectorSearch(self.linker.evidence.names, self.models.encoder())
        descriptions = {row.product_id: row.text for row in self.descriptions() if row.rejected is None}
        return WordSearch(document(product, descriptions.get(product.id)) for product in self.products)


@dataclass(frozen=True, slots=True)
class Free:
    """A model without constraints."""

    model: AnswerModel
    max_tokens: int

    def answer(self, questions: Sequence[str]) -> list[str]:
        with _with_setting():
            return self.model.unconstrained(questions, max_tokens=self.max_tokens, batch_size=len(questions))

    def identify(self, prompts: Sequence[str], descriptions: Sequence[str]) -> list[str] | None:
        return self.model.unconstrained(prompts, max_tokens=IDENTITY_TOKENS, batch_size=len(prompts))

    def tokens(self, text: str) -> int:
        return _count(self.model, text)


class Constrained:
    """A model constrained to the answer format and to all products, or to those that its names are linked to."""

    def __init__(
        self, model: AnswerModel, max_tokens: int, linked: NameResolver | None, products: Sequence[Product]
    ) -> None:
        self._model, self._max_tokens, self._linked, self._products = model, max_tokens, linked, products

    def answer(self, questions: Sequence[str]) -> list[str]:
        with _with_setting():
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
class Retrieval:
    """A search, without a model."""

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


def timed(system: System, questions: Sequence[str], batch_size: int) -> Iterator[TimedAnswer]:
    """Answer all questions in order, in deterministic batches."""
    for start in range(0, len(questions), batch_size):
        batch = questions[start : start + batch_size]
        begun = time.monotonic()
        texts = system.answer(batch)
        seconds = (time.monotonic() - begun) / len(batch)
        yield from (TimedAnswer(text, system.tokens(text), seconds) for text in texts)


@contextmanager
def _with_setting() -> Iterator[None]:
    """Adds the name of the setting to errors about the length of an answer."""
    try:
        yield
    except InputError as error:
        raise InputError(f"stages.evaluate.max_tokens: {error}") from error


def _count(model: AnswerModel, text: str) -> int:
    return len(model.tokenizer(text, add_special_tokens=False)["input_ids"])
