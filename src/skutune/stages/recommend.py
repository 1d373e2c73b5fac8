"""Answer each question with a few short names, as JSON; the first is the question's own product."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skutune.answer_format import holds_marker
from skutune.engines.base import Result
from skutune.hashing import unit_hash
from skutune.prompts.cleaning import clean_name
from skutune.prompts.recommend import recommend, schema, slots
from skutune.records import Product, Question, Recommendation
from skutune.stages.base import Context, ItemResult, WorkItem
from skutune.stages.llm import MalformedError, Prompt, generate_rows, sampling_of
from skutune.text import normalise_name, words

_MAX_WORDS = 8
_MAX_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class _Asked:
    question: Question
    product_name: str
    count: int


class Recommend:
    """Question → Recommendation; how many names is dealt out by the question's hash."""

    record = Recommendation

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.recommend
        self.attempts = self.config.attempts

    def items(self, part: int) -> Iterator[WorkItem]:
        model = self.context.identity("generator")
        names = {product.id: product.name for product in self.context.inputs.part("ingest", Product, part)}
        for question in self.context.inputs.part("question", Question, part):
            if question.rejected is not None:
                continue
            asked = _Asked(question, names[question.product_id], self._count(question.id))
            yield WorkItem(question.id, self._prompt(asked).key("recommend", question.id, model), asked)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        return generate_rows(self.context.engine(), self, items, self.config.attempts)

    def prompt(self, item: WorkItem) -> Prompt:
        return self._prompt(item.content)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Recommendation]:
        names = distinct(_named(result, item.content.count))
        if not may_be(names[0], item.content.product_name):
            raise MalformedError(f"the first name, {names[0]!r}, is not the product's")
        return [self._row(item, names, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Recommendation]:
        return [self._row(item, [result.text], attempt, reason)]

    def _row(self, item: WorkItem, names: list[str], attempt: int, rejected: str | None) -> Recommendation:
        question = item.content.question
        return Recommendation(question.id, question.product_id, names, 0, attempt, rejected, item.key)

    def _count(self, question_id: str) -> int:
        span = self.config.max_items - self.config.min_items + 1
        return self.config.min_items + int(unit_hash("recommend", question_id) * span)

    def _prompt(self, asked: _Asked) -> Prompt:
        messages = recommend(asked.product_name, asked.question.text, asked.count)
        return Prompt(messages, sampling_of(self.config.sampling), schema(asked.count))


def distinct(names: list[str]) -> list[str]:
    """The names without repetitions, in order. Raises MalformedError for a name that is none."""
    found: dict[str, str] = {}
    for raw in names:
        name = clean_name(raw.replace(": ", " "))
        if not words(name):
            raise MalformedError("an empty name")
        if len(words(name)) > _MAX_WORDS or len(name) > _MAX_CHARACTERS:
            raise MalformedError(f"longer than a name: {name[:80]!r}")
        if holds_marker(name) or ": " in name or name.endswith(":"):
            raise MalformedError(f"not a plain name: {name!r}")
        found.setdefault(normalise_name(name), name)
    return list(found.values())


def may_be(name: str, product_name: str) -> bool:
    """Whether a name may be a product's: its last word, which says what it is, comes in the product's name.

    Words count up to their endings and however they are joined. A rough check, worth another try: the linker judges.
    """
    *_, head = words(name)
    joined = "".join(words(product_name))
    return head[:4] in {word[:4] for word in words(product_name)} or head in joined or "".join(words(name)) in joined


def _named(result: Result, count: int) -> list[str]:
    try:
        parsed = json.loads(result.text)
    except json.JSONDecodeError:
        raise MalformedError("not JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedError("not a JSON object")
    names = [parsed.get(slot) for slot in slots(count)]
    if not all(isinstance(name, str) for name in names):
        raise MalformedError("a recommendation is missing")
    return [str(name) for name in names]
