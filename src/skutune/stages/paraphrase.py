"""Say each description in other words, several times: what the classifier learns a product's wording from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_prose, fault_of
from skutune.prompts.paraphrase import paraphrase
from skutune.records import Description, Product, Variant
from skutune.stages.base import Context, ItemResult, WorkItem
from skutune.stages.llm import MalformedError, Prompt, generate_rows, sampling_of
from skutune.text import normalise_name

_MAX_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class _Wanted:
    product: Product
    description: str
    number: int


class Paraphrase:
    """Description → Variants, one call each. A product whose description was rejected gets none."""

    record = Variant

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.paraphrase
        self.attempts = self.config.attempts

    def items(self, part: int) -> Iterator[WorkItem]:
        model = self.context.identity("generator")
        products = {product.id: product for product in self.context.inputs.part("ingest", Product, part)}
        for description in self.context.inputs.part("describe", Description, part):
            if description.rejected is not None:
                continue
            for number in range(1, self.config.variants + 1):
                wanted = _Wanted(products[description.product_id], description.text, number)
                item_id = f"{description.product_id}/{number}"
                yield WorkItem(item_id, self._prompt(wanted).key("paraphrase", item_id, model), wanted)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        return generate_rows(self.context.engine(), self, items, self.config.attempts)

    def prompt(self, item: WorkItem) -> Prompt:
        return self._prompt(item.content)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Variant]:
        text = clean_prose(result.text, cut=result.finish_reason == "length", max_sentences=_MAX_SENTENCES)
        if fault := fault_of(text):
            raise MalformedError(fault)
        if normalise_name(text) == normalise_name(item.content.description):
            raise MalformedError("the same words as the description")
        return [self._row(item, text, result, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Variant]:
        return [self._row(item, result.text, result, attempt, reason)]

    def _row(self, item: WorkItem, text: str, result: Result, attempt: int, rejected: str | None) -> Variant:
        wanted: _Wanted = item.content
        return Variant(wanted.product.id, wanted.number, text, result.finish_reason, attempt, rejected, item.key)

    def _prompt(self, wanted: _Wanted) -> Prompt:
        messages = paraphrase(wanted.product, wanted.description, wanted.number)
        return Prompt(messages, sampling_of(self.config.sampling))


class NoVariants:
    """Description → nothing: `variants: 0` needs no LLM, not even one that is there."""

    record = Variant
    attempts = 1

    def __init__(self, context: Context) -> None:
        self.context = context

    def items(self, part: int) -> Iterator[WorkItem]:
        return iter(())

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        for item in items:  # read to the end: that is what makes the empty parts
            yield ItemResult(item, [])
