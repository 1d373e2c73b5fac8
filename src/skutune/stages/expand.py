"""Generate a description for each distinct recommended name, because longer texts link better than two words."""

from __future__ import annotations

from collections.abc import Iterator

from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_prose, rejection_reason
from skutune.prompts.expand import expand
from skutune.records import Expansion, Name
from skutune.stages.base import Prompt, WorkItem
from skutune.stages.llm import ItemPrompt, LlmStage, MalformedError

_MAX_SENTENCES = 2


class Expand(LlmStage):
    """Name → Expansion. A name whose expansion is rejected is linked by its text alone."""

    name, record = "expand", Expansion

    def item_prompts(self, part: int) -> Iterator[ItemPrompt]:
        for name in self.inputs.part("distinct", Name, part):
            yield ItemPrompt(name.normalised, name, Prompt(expand(name.text)))

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Expansion]:
        text = clean_prose(result.text, cut=result.finish_reason != "stop", max_sentences=_MAX_SENTENCES)
        if reason := rejection_reason(text):
            raise MalformedError(reason)
        return [self._row(item, text, result, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Expansion]:
        return [self._row(item, result.text, result, attempt, reason)]

    def _row(self, item: WorkItem, text: str, result: Result, attempt: int, rejected: str | None) -> Expansion:
        name: Name = item.content
        return Expansion(name.normalised, name.text, text, result.finish_reason, attempt, rejected, item.key)
