"""Answer each question with a few short names, as JSON; the first is the question's own product."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from skutune.answer_format import holds_marker
from skutune.engines.base import Result
from skutune.hashing import unit_hash
from skutune.prompts.cleaning import clean_name
from skutune.prompts.recommend import recommend, schema, slots
from skutune.records import Product, Question, Recommendation
from skutune.stages.base import Context, Prompt, WorkItem
from skutune.stages.llm import Ask, LlmStage, MalformedError
from skutune.text import normalise_name, words

_MAX_WORDS = 8
_MAX_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class _Asked:
    question: Question
    product_name: str
    count: int


class Recommend(LlmStage):
    """Question → Recommendation; how many names is dealt out by the question's hash."""

    name, record = "recommend", Recommendation

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = context.config.stages.recommend

    def asks(self, part: int) -> Iterator[Ask]:
        names = {product.id: product.name for product in self.inputs.part("ingest", Product, part)}
        for question in self.inputs.part("question", Question, part):
            if question.rejected is not None:
                continue
            name, count = names[question.product_id], self._count(question.id)
            prompt = Prompt(recommend(name, question.text, count), schema(count))
            yield Ask(question.id, _Asked(question, name, count), prompt)

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
