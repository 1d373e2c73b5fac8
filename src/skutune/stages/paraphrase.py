"""Paraphrase each description several times, so that the classifier learns different wordings of a product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skutune.engines.base import Result
from skutune.prompts.cleaning import clean_prose, rejection_reason
from skutune.prompts.paraphrase import paraphrase
from skutune.records import Description, Product, Variant
from skutune.stages.base import Context, ItemResult, MapStage, Prompt, WorkItem
from skutune.stages.llm import ItemPrompt, LlmStage, MalformedError
from skutune.text import normalise_name

_MAX_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class _Source:
    product: Product
    description: str
    number: int


class Paraphrase(LlmStage):
    """Description → Variants, one request for each. A rejected description gets none."""

    name, record = "paraphrase", Variant

    def item_prompts(self, part: int) -> Iterator[ItemPrompt]:
        variants = self.context.config.stages.paraphrase.variants
        products = {product.id: product for product in self.inputs.part("ingest", Product, part)}
        for description in self.inputs.part("describe", Description, part):
            if description.rejected is not None:
                continue
            product = products[description.product_id]
            for number in range(1, variants + 1):
                source = _Source(product, description.text, number)
                prompt = Prompt(paraphrase(product, description.text, number))
                yield ItemPrompt(f"{product.id}/{number}", source, prompt)

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Variant]:
        text = clean_prose(result.text, cut=result.finish_reason != "stop", max_sentences=_MAX_SENTENCES)
        if reason := rejection_reason(text):
            raise MalformedError(reason)
        if normalise_name(text) == normalise_name(item.content.description):
            raise MalformedError("identical to the description")
        return [self._row(item, text, result, attempt, None)]

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Variant]:
        return [self._row(item, result.text, result, attempt, reason)]

    def _row(self, item: WorkItem, text: str, result: Result, attempt: int, rejected: str | None) -> Variant:
        source: _Source = item.content
        return Variant(source.product.id, source.number, text, result.finish_reason, attempt, rejected, item.key)


class NoVariants(MapStage):
    """Description → no rows, for `variants: 0`; never loads an LLM."""

    record = Variant

    def __init__(self, context: Context) -> None:
        self.context = context

    def items(self, part: int) -> Iterator[WorkItem]:
        return iter(())

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        for item in items:  # must be exhausted: the worker writes the empty parts while it is read
            yield ItemResult(item, [])
