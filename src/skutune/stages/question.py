"""Ask questions to which a product is a fair answer: one JSON list a call, topped up by retries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from skutune.answer_format import holds_marker
from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_question
from skutune.prompts.question import deal, question, schema
from skutune.records import Product, Question
from skutune.stages.base import Context, Prompt, WorkItem
from skutune.stages.llm import Ask, LlmStage, MalformedError
from skutune.text import normalise_name, words

_MIN_WORDS, _MAX_WORDS = 4, 60


@dataclass
class _Asked:
    """A product's questions so far; lives while its item is being asked."""

    product: Product
    good: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)


class Questions(LlmStage):
    """Product → Questions. A question that names the product, or repeats another, is rejected."""

    name, record = "question", Question

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = context.config.stages.question

    def asks(self, part: int) -> Iterator[Ask]:
        intents = deal(self.config.intents, self.config.per_product)
        answer_schema = schema(len(intents))
        for product in self.inputs.part("ingest", Product, part):
            yield Ask(product.id, _Asked(product), Prompt(question(product, intents), answer_schema))

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Question]:
        asked: _Asked = item.content
        for text in _listed(result):
            shown = clean_question(text)
            fault = fault_of(shown, asked.product) or ("asked twice" if normalise_name(shown) in asked.good else None)
            if fault is None:
                asked.good[normalise_name(shown)] = shown
            else:
                asked.bad.setdefault(text, fault)
        if len(asked.good) < self.config.per_product:
            raise MalformedError(f"{len(asked.good)} usable questions of {self.config.per_product}")
        return self._rows(item, attempt)

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Question]:
        rows = self._rows(item, attempt)
        if not rows:
            rows.append(self._row(item, 0, "", result.text, attempt, reason))
        return rows

    def _rows(self, item: WorkItem, attempt: int) -> list[Question]:
        asked: _Asked = item.content
        intents = deal(self.config.intents, self.config.per_product)
        good = list(asked.good.values())[: self.config.per_product]
        rows = [
            self._row(item, number, intents[number - 1], text, attempt, None) for number, text in enumerate(good, 1)
        ]
        rows += [
            self._row(item, number, "", text, attempt, reason)
            for number, (text, reason) in enumerate(asked.bad.items(), len(rows) + 1)
        ]
        return rows

    def _row(self, item: WorkItem, number: int, intent: str, text: str, attempt: int, rejected: str | None) -> Question:
        product_id = item.content.product.id
        return Question(f"{product_id}/{number}", product_id, number, intent, text, attempt, rejected, item.key)


def fault_of(text: str, product: Product) -> str | None:
    """Why a text is no question about the product, or None."""
    spoken = words(text)
    if not _MIN_WORDS <= len(spoken) <= _MAX_WORDS:
        return f"not {_MIN_WORDS} to {_MAX_WORDS} words"
    if not text.endswith("?"):
        return "not a question"
    if holds_marker(text):
        return "speaks of a closest product"
    if names_product(spoken, product):
        return "names the product"
    return None


def names_product(spoken: list[str], product: Product) -> bool:
    """Whether all words of the product's name come in a text, one after the other (a plural counts as its singular)."""
    name = [_singular(word) for word in words(product.name)]
    text = [_singular(word) for word in spoken]
    return bool(name) and any(text[start : start + len(name)] == name for start in range(len(text) - len(name) + 1))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _listed(result: Result) -> list[str]:
    """The strings of a JSON list; of one that was cut, those that are whole. Raises MalformedError."""
    try:
        parsed = json.loads(result.text)
    except json.JSONDecodeError:
        parsed = _whole_strings(result.text)
    if not isinstance(parsed, list) or not all(isinstance(text, str) for text in parsed):
        raise MalformedError("not a JSON list of strings")
    return parsed


def _whole_strings(text: str) -> list[str]:
    """The finished strings of a JSON list that was cut. Raises MalformedError where there is none."""
    end = text.rfind('"')
    while end > 0:
        try:
            parsed = json.loads(text[: end + 1] + "]")
        except json.JSONDecodeError:
            end = text.rfind('"', 0, end)
        else:
            return parsed if isinstance(parsed, list) else []
    raise MalformedError("not JSON")
