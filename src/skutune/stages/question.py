"""Generate questions that a product answers: one JSON list per request; retries supply what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from skutune.answer_format import contains_marker
from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_question
from skutune.prompts.question import assign_intents, question, schema
from skutune.records import Product, Question
from skutune.stages.base import Context, Prompt, WorkItem
from skutune.stages.llm import ItemPrompt, LlmStage, MalformedError
from skutune.text import normalise_name, words

_MIN_WORDS, _MAX_WORDS = 4, 60


@dataclass
class _Collected:
    """A product's questions from all attempts so far."""

    product: Product
    accepted: dict[str, str] = field(default_factory=dict)  # normalised text → text
    rejected: dict[str, str] = field(default_factory=dict)  # text → reason


class Questions(LlmStage):
    """Product → Questions. A question that names the product or duplicates another one is rejected."""

    name, record = "question", Question

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = context.config.stages.question

    def item_prompts(self, part: int) -> Iterator[ItemPrompt]:
        intents = assign_intents(self.config.intents, self.config.per_product)
        response_schema = schema(len(intents))
        for product in self.inputs.part("ingest", Product, part):
            prompt = Prompt(question(product, intents), response_schema)
            yield ItemPrompt(product.id, _Collected(product), prompt)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Question]:
        collected: _Collected = item.content
        for text in _parse_list(result):
            cleaned = clean_question(text)
            normalised = normalise_name(cleaned)
            reason = rejection_reason(cleaned, collected.product)
            if reason is None and normalised in collected.accepted:
                reason = "duplicate question"
            if reason is None:
                collected.accepted[normalised] = cleaned
            else:
                collected.rejected.setdefault(text, reason)
        if len(collected.accepted) < self.config.per_product:
            raise MalformedError(f"only {len(collected.accepted)} of {self.config.per_product} questions are usable")
        return self._rows(item, attempt)

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Question]:
        rows = self._rows(item, attempt)
        if not rows:
            rows.append(self._row(item, 0, "", result.text, attempt, reason))
        return rows

    def _rows(self, item: WorkItem, attempt: int) -> list[Question]:
        collected: _Collected = item.content
        intents = assign_intents(self.config.intents, self.config.per_product)
        accepted = list(collected.accepted.values())[: self.config.per_product]
        rows = [
            self._row(item, number, intents[number - 1], text, attempt, None) for number, text in enumerate(accepted, 1)
        ]
        rows += [
            self._row(item, number, "", text, attempt, reason)
            for number, (text, reason) in enumerate(collected.rejected.items(), len(rows) + 1)
        ]
        return rows

    def _row(self, item: WorkItem, number: int, intent: str, text: str, attempt: int, rejected: str | None) -> Question:
        product_id = item.content.product.id
        return Question(f"{product_id}/{number}", product_id, number, intent, text, attempt, rejected, item.key)


def rejection_reason(text: str, product: Product) -> str | None:
    """Why a text is unusable as a question about the product, or None."""
    tokens = words(text)
    if not _MIN_WORDS <= len(tokens) <= _MAX_WORDS:
        return f"not {_MIN_WORDS} to {_MAX_WORDS} words long"
    if not text.endswith(("?", "？")):
        return "no question mark at the end"
    if contains_marker(text):
        return "contains a reserved phrase (closest product, no close product)"
    if names_product(tokens, product):
        return "names the product"
    return None


def names_product(tokens: list[str], product: Product) -> bool:
    """Whether a text's words contain the product's name as a contiguous sequence, ignoring plurals."""
    name = [_singular(word) for word in words(product.name)]
    text = [_singular(word) for word in tokens]
    return bool(name) and any(text[start : start + len(name)] == name for start in range(len(text) - len(name) + 1))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _parse_list(result: Result) -> list[str]:
    """The strings of a JSON list; of a truncated list, the complete ones. Raises MalformedError."""
    try:
        parsed = json.loads(result.text)
    except json.JSONDecodeError:
        parsed = _parse_truncated_list(result.text)
    if not isinstance(parsed, list) or not all(isinstance(text, str) for text in parsed):
        raise MalformedError("not a JSON list of strings")
    return parsed


def _parse_truncated_list(text: str) -> list[str]:
    """The complete strings of a truncated JSON list. Raises MalformedError where there is none."""
    end = text.rfind('"')
    while end > 0:
        try:
            parsed = json.loads(text[: end + 1] + "]")
        except json.JSONDecodeError:
            end = text.rfind('"', 0, end)
        else:
            return parsed if isinstance(parsed, list) else []
    raise MalformedError("invalid JSON")
