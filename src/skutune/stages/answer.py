"""Write the prose of each answer, about the names that survived linking; product names and ids come in later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skutune.engines.base import Result
from skutune.linking.pick_products import LinkTable, choose
from skutune.prompts.answer import answer, schema, slots
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.records import Answer, Link, Question, Recommendation
from skutune.stages.base import Context, ItemResult, WorkItem
from skutune.stages.llm import MalformedError, Prompt, generate_rows, sampling_of

_MAX_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class _Asked:
    question: Question
    names: list[str]


class Answers:
    """Question + surviving names → Answer."""

    record = Answer

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.answer
        self.attempts = self.config.attempts
        self._links: LinkTable | None = None

    def items(self, part: int) -> Iterator[WorkItem]:
        model, inputs = self.context.identity("generator"), self.context.inputs
        questions = {question.id: question for question in inputs.part("question", Question, part)}
        for recommendation in inputs.part("recommend", Recommendation, part):
            if recommendation.rejected is not None:
                continue
            chosen = choose(recommendation, self.links(), self.config.unlinked_share)
            if chosen.rejected is not None:
                continue
            asked = _Asked(questions[recommendation.question_id], [pick.name for pick in chosen.picks])
            key = self._prompt(asked).key("answer", recommendation.question_id, model)
            yield WorkItem(recommendation.question_id, key, asked)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        return generate_rows(self.context.engine(), self, items, self.config.attempts)

    def links(self) -> LinkTable:
        """Link's whole table, loaded once."""
        if self._links is None:
            self._links = LinkTable(self.context.inputs.rows("link", Link))
        return self._links

    def prompt(self, item: WorkItem) -> Prompt:
        return self._prompt(item.content)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Answer]:
        introduction, *paragraphs, conclusion = _parts(result, len(item.content.names))
        return [self._row(item, introduction, paragraphs, conclusion, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Answer]:
        return [self._row(item, result.text, [], "", attempt, reason)]

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
            asked.question.id,
            asked.question.product_id,
            asked.names,
            introduction,
            paragraphs,
            conclusion,
            attempt,
            rejected,
            item.key,
        )

    def _prompt(self, asked: _Asked) -> Prompt:
        messages = answer(asked.question.text, asked.names)
        return Prompt(messages, sampling_of(self.config.sampling), schema(len(asked.names)))


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
