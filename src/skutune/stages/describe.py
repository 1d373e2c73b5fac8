"""Write one description of each product, 3 to 5 sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skutune.engines.base import Result
from skutune.hashing import content_key
from skutune.pipeline.code_version import version_of
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.prompts.describe import describe, describe_by_template
from skutune.records import Description, Product
from skutune.stages.base import Context, ItemResult, WorkItem
from skutune.stages.llm import MalformedError, Prompt, generate_rows, sampling_of


class Describe:
    """Product → Description, by an LLM."""

    record = Description

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.describe
        self.attempts = self.config.attempts

    def items(self, part: int) -> Iterator[WorkItem]:
        model = self.context.identity("generator")
        for product in self.context.inputs.part("ingest", Product, part):
            key = self._prompt(product).key("describe", product.id, model)
            yield WorkItem(product.id, key, product)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        return generate_rows(self.context.engine(), self, items, self.config.attempts)

    def prompt(self, item: WorkItem) -> Prompt:
        return self._prompt(item.content)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Description]:
        text = clean_prose(result.text, cut=result.finish_reason == "length", max_sentences=self.config.max_sentences)
        if fault := fault_of(text, min_sentences=self.config.min_sentences):
            raise MalformedError(fault)
        return [Description(item.content.id, text, result.finish_reason, attempt, None, item.key)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Description]:
        return [Description(item.content.id, result.text, result.finish_reason, attempt, reason, item.key)]

    def _prompt(self, product: Product) -> Prompt:
        messages = describe(product, self.config.min_sentences, self.config.max_sentences)
        return Prompt(messages, sampling_of(self.config.sampling))


class DescribeByTemplate:
    """Product → Description, from name and attributes alone."""

    record = Description
    attempts = 1

    def __init__(self, context: Context) -> None:
        self.context = context

    def items(self, part: int) -> Iterator[WorkItem]:
        for product in self.context.inputs.part("ingest", Product, part):
            text = describe_by_template(product)
            yield WorkItem(product.id, content_key(["describe", version_of("describe"), product.id, text]), text)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        for item in items:
            yield ItemResult(item, [Description(item.id, item.content, "stop", 1, None, item.key)])
