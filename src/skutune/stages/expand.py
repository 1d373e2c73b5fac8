"""Describe what each distinct recommended name stands for: a longer text links better than two words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.prompts.expand import expand
from skutune.records import Expansion, Name
from skutune.stages.base import Context, ItemResult, WorkItem
from skutune.stages.llm import MalformedError, Prompt, generate_rows, sampling_of

_MAX_SENTENCES = 2


class Expand:
    """Name → Expansion. A rejected expansion is linked by its name alone."""

    record = Expansion

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.expand
        self.attempts = self.config.attempts

    def items(self, part: int) -> Iterator[WorkItem]:
        model = self.context.identity("generator")
        for name in self.context.inputs.part("distinct", Name, part):
            yield WorkItem(name.normalised, self._prompt(name).key("expand", name.normalised, model), name)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        return generate_rows(self.context.engine(), self, items, self.config.attempts)

    def prompt(self, item: WorkItem) -> Prompt:
        return self._prompt(item.content)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Expansion]:
        text = clean_prose(result.text, cut=result.finish_reason == "length", max_sentences=_MAX_SENTENCES)
        if fault := fault_of(text):
            raise MalformedError(fault)
        return [self._row(item, text, result, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Expansion]:
        return [self._row(item, result.text, result, attempt, reason)]

    def _row(self, item: WorkItem, text: str, result: Result, attempt: int, rejected: str | None) -> Expansion:
        name: Name = item.content
        return Expansion(name.normalised, name.text, text, result.finish_reason, attempt, rejected, item.key)

    def _prompt(self, name: Name) -> Prompt:
        return Prompt(expand(name.text), sampling_of(self.config.sampling))
