"""Generate a few short names of products for each question, as JSON; the first is for the source product."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from skutune.answer_format import contains_marker
from skutune.engines.base import Result
from skutune.hashing import unit_hash
from skutune.prompts.cleaning import clean_name
from skutune.prompts.recommend import recommend, schema, slots
from skutune.records import Product, Question, Recommendation
from skutune.stages.base import Context, Prompt, WorkItem
from skutune.stages.llm import ItemPrompt, LlmStage, MalformedError
from skutune.text import normalise_name, words

_MAX_WORDS = 8
_MAX_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class _QuestionContext:
    question: Question
    product_name: str
    count: int


class Recommend(LlmStage):
    """Question → Recommendation; a hash of the question's id decides how many names."""

    name, record = "recommend", Recommendation

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = context.config.stages.recommend

    def item_prompts(self, part: int) -> Iterator[ItemPrompt]:
        names = {product.id: product.name for product in self.inputs.part("ingest", Product, part)}
        for question in self.inputs.part("question", Question, part):
            if question.rejected is not None:
                continue
            name, count = names[question.product_id], self._count(question.id)
            prompt = Prompt(recommend(name, question.text, count), schema(count))
            yield ItemPrompt(question.id, _QuestionContext(question, name, count), prompt)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Recommendation]:
        names = clean_names(_parse_names(result, item.content.count))
        if not may_refer_to(names[0], item.content.product_name):
            raise MalformedError(f"first name does not match the product: {names[0]!r}")
        return [self._row(item, names, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Recommendation]:
        return [self._row(item, [result.text], attempt, reason)]

    def _row(self, item: WorkItem, names: list[str], attempt: int, rejected: str | None) -> Recommendation:
        question = item.content.question
        return Recommendation(question.id, question.product_id, names, 0, attempt, rejected, item.key)

    def _count(self, question_id: str) -> int:
        span = self.config.max_items - self.config.min_items + 1
        return self.config.min_items + int(unit_hash("recommend", question_id) * span)


def clean_names(names: list[str]) -> list[str]:
    """The cleaned names without duplicates, in order. Raises MalformedError for an unusable name."""
    cleaned: dict[str, str] = {}
    for raw in names:
        name = clean_name(raw.replace(": ", " "))
        if not words(name):
            raise MalformedError("empty name")
        if len(words(name)) > _MAX_WORDS or len(name) > _MAX_CHARACTERS:
            raise MalformedError(f"name is too long: {name[:80]!r}")
        if contains_marker(name) or ": " in name or name.endswith(":"):
            raise MalformedError(f"name contains a colon or a reserved phrase: {name!r}")
        cleaned.setdefault(normalise_name(name), name)
    return list(cleaned.values())


def may_refer_to(name: str, product_name: str) -> bool:
    """Whether a name may refer to a product: its head word, which is the last, occurs in the product's name.

    Endings and word boundaries are ignored. This is a rough check that triggers a retry; the linker decides.
    """
    *_, head = words(name)
    joined = "".join(words(product_name))
    return head[:4] in {word[:4] for word in words(product_name)} or head in joined or "".join(words(name)) in joined


def _parse_names(result: Result, count: int) -> list[str]:
    try:
        parsed = json.loads(result.text)
    except json.JSONDecodeError:
        raise MalformedError("invalid JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedError("not a JSON object")
    names = [parsed.get(slot) for slot in slots(count)]
    if not all(isinstance(name, str) for name in names):
        raise MalformedError("missing recommendation")
    return [str(name) for name in names]
