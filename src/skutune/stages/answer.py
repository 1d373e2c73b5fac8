"""Pick the products of each answer, and write its prose about the names that survived linking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from skutune.engines.base import Result
from skutune.linking.pick_products import Chosen, LinkTable, Pick, choose
from skutune.prompts.answer import answer, schema, slots
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.records import Answer, Link, Question, Recommendation
from skutune.stages.base import Context, Prompt, WorkItem
from skutune.stages.llm import Ask, LlmStage, MalformedError

_MAX_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class _Asked:
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
    """Question + surviving names → Answer.

    The products are picked here, once. The prompt holds the names alone, so that a product that changes leaves the
    prose as it is: a reused row gets the products that are picked now.
    """

    name, record = "answer", Answer

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = context.config.stages.answer

    def asks(self, part: int) -> Iterator[Ask]:
        questions = {question.id: question for question in self.inputs.part("question", Question, part)}
        for recommendation in self.inputs.part("recommend", Recommendation, part):
            if recommendation.rejected is not None:
                continue
            question, chosen = questions[recommendation.question_id], self._choose(recommendation)
            asked = _Asked(question.id, question.product_id, chosen.picks)
            if chosen.rejected is not None:
                yield Ask(question.id, asked, rejected=f"link: {chosen.rejected}")
            else:
                prompt = Prompt(answer(question.text, asked.names), schema(len(asked.names)))
                yield Ask(question.id, asked, prompt)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Answer]:
        introduction, *paragraphs, conclusion = _parts(result, len(item.content.names))
        return [self._row(item, introduction, paragraphs, conclusion, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Answer]:
        return [self._row(item, result.text, [], "", attempt, reason)]

    def refresh(self, item: WorkItem, rows: list[Answer]) -> list[Answer]:
        return [replace(row, products=item.content.products) for row in rows]

    def _choose(self, recommendation: Recommendation) -> Chosen:
        return choose(recommendation, self._links, self.config.unlinked_share)

    @cached_property
    def _links(self) -> LinkTable:
        """Link's whole table, loaded once."""
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
        asked: _Asked = item.content
        return Answer(
            question_id=asked.question_id,
            product_id=asked.product_id,
            names=asked.names,
            products=asked.products,
            introduction=introduction,
            paragraphs=paragraphs,
            conclusion=conclusion,
            attempts=attempt,
            rejected=rejected,
            key=item.key,
        )


def _parts(result: Result, names: int) -> list[str]:
    """Introduction, paragraphs and conclusion, cleaned. Raises MalformedError."""
    try:
        parsed = json.loads(result.text)
    except json.JSONDecodeError:
        raise MalformedError("not JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedError("not a JSON object")
    parts = []
    for slot in slots(names):
        if not isinstance(parsed.get(slot), str):
            raise MalformedError(f"{slot} is missing")
        prose = clean_prose(parsed[slot], cut=False, max_sentences=_MAX_SENTENCES)
        if fault := fault_of(prose):
            raise MalformedError(f"{slot}: {fault}")
        parts.append(prose)
    if len({part.casefold() for part in parts}) < len(parts):
        raise MalformedError("the same text in two places")
    return parts
