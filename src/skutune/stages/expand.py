"""Describe what each distinct recommended name stands for: a longer text links better than two words."""

from __future__ import annotations

from collections.abc import Iterator

from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.prompts.expand import expand
from skutune.records import Expansion, Name
from skutune.stages.base import Prompt, WorkItem
from skutune.stages.llm import Ask, LlmStage, MalformedError

_MAX_SENTENCES = 2


class Expand(LlmStage):
    """Name → Expansion. A rejected expansion is linked by its name alone."""

    name, record = "expand", Expansion

    def asks(self, part: int) -> Iterator[Ask]:
        for name in self.inputs.part("distinct", Name, part):
            yield Ask(name.normalised, name, Prompt(expand(name.text)))

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
