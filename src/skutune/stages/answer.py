"""Pick the products of each answer, and generate its prose from the names that were linked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from skutune.engines.base import Result
from skutune.linking.pick_products import Chosen, LinkTable, Pick, choose
from skutune.prompts.answer import answer, schema, slots
from skutune.prompts.cleaning import clean_prose, rejection_reason
from skutune.records import Answer, Link, Question, Recommendation
from skutune.stages.base import Context, Prompt, WorkItem
from skutune.stages.llm import ItemPrompt, LlmStage, MalformedError

_MAX_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class _PickedAnswer:
    """A question with the names and products of its answer."""

    question_id: str
    product_id: str
    picks: tuple[Pick, ...]

    @property
    def names(self) -> list[str]:
        return [pick.name for pick in self.picks]

    @property
    def products(self) -> list[str]:
        return [pick.product.id if pick.product else "" for pick in self.picks]


class Answers(LlmStage):
    """Question + linked names → Answer.

    The products are picked here and nowhere else. The prompt contains only the names, so that the prose can be reused
    when a name's product changes: a reused row gets the newly picked products.
    """

    name, record = "answer", Answer

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = context.config.stages.answer

    def item_prompts(self, part: int) -> Iterator[ItemPrompt]:
        questions = {question.id: question for question in self.inputs.part("question", Question, part)}
        for recommendation in self.inputs.part("recommend", Recommendation, part):
            if recommendation.rejected is not None:
                continue
            question, chosen = questions[recommendation.question_id], self._choose(recommendation)
            picked = _PickedAnswer(question.id, question.product_id, chosen.picks)
            if chosen.rejected is not None:
                yield ItemPrompt(question.id, picked, rejected=f"link: {chosen.rejected}")
            else:
                prompt = Prompt(answer(question.text, picked.names), schema(len(picked.names)))
                yield ItemPrompt(question.id, picked, prompt)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Answer]:
        introduction, *paragraphs, conclusion = _parse_parts(result, len(item.content.names))
        return [self._row(item, introduction, paragraphs, conclusion, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Answer]:
        return [self._row(item, result.text, [], "", attempt, reason)]

    def refresh(self, item: WorkItem, rows: list[Answer]) -> list[Answer]:
        return [replace(row, products=item.content.products) for row in rows]

    def _choose(self, recommendation: Recommendation) -> Chosen:
        return choose(recommendation, self._links, self.config.unlinked_share)

    @cached_property
    def _links(self) -> LinkTable:
        """The whole link table, loaded once."""
        return LinkTable(self.inputs.rows("link", Link))

    def _row(
        self,
        item: WorkItem,
        introduction: str,
        paragraphs: list[str],
        conclusion: str,
        attempt: int,
        rejected: str | None,
    ) -> Answer:
        picked: _PickedAnswer = item.content
        return Answer(
            question_id=picked.question_id,
            product_id=picked.product_id,
            names=picked.names,
            products=picked.products,
            introduction=introduction,
            paragraphs=paragraphs,
            conclusion=conclusion,
            attempts=attempt,
            rejected=rejected,
            key=item.key,
        )


def _parse_parts(result: Result, names: int) -> list[str]:
    """Introduction, paragraphs and conclusion, cleaned. Raises MalformedError."""
    try:
        parsed = json.loads(result.text)
    except json.JSONDecodeError:
        raise MalformedError("invalid JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedError("not a JSON object")
    parts = []
    for slot in slots(names):
        if not isinstance(parsed.get(slot), str):
            raise MalformedError(f"missing {slot}")
        prose = clean_prose(parsed[slot], cut=False, max_sentences=_MAX_SENTENCES)
        if reason := rejection_reason(prose):
            raise MalformedError(f"{slot}: {reason}")
        parts.append(prose)
    if len({part.casefold() for part in parts}) < len(parts):
        raise MalformedError("two parts have the same text")
    return parts
