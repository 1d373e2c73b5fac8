"""Write one description of each product, 3 to 5 sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skutune.engines.base import Result
from skutune.hashing import content_key
from skutune.pipeline.code_version import version_of
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.prompts.describe import describe, describe_by_template
from skutune.records import Description, Product
from skutune.stages.base import Context, ItemResult, MapStage, Prompt, WorkItem
from skutune.stages.llm import Ask, LlmStage, MalformedError


class Describe(LlmStage):
    """Product → Description, by an LLM."""

    name, record = "describe", Description

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        config = context.config.stages.describe
        self.min_sentences, self.max_sentences = config.min_sentences, config.max_sentences

    def asks(self, part: int) -> Iterator[Ask]:
        for product in self.inputs.part("ingest", Product, part):
            yield Ask(product.id, product, Prompt(describe(product, self.min_sentences, self.max_sentences)))

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Description]:
        text = clean_prose(result.text, cut=result.finish_reason == "length", max_sentences=self.max_sentences)
        if fault := fault_of(text, min_sentences=self.min_sentences):
            raise MalformedError(fault)
        return [Description(item.content.id, text, result.finish_reason, attempt, None, item.key)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Description]:
        return [Description(item.content.id, result.text, result.finish_reason, attempt, reason, item.key)]


class DescribeByTemplate(MapStage):
    """Product → Description, from name and attributes alone."""

    record = Description

    def __init__(self, context: Context) -> None:
        self.context = context

    def items(self, part: int) -> Iterator[WorkItem]:
        for product in self.context.inputs.part("ingest", Product, part):
            text = describe_by_template(product)
            yield WorkItem(product.id, content_key(["describe", version_of("describe"), product.id, text]), text)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        for item in items:
            yield ItemResult(item, [Description(item.id, item.content, "stop", 1, None, item.key)])
