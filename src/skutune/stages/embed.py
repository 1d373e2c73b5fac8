"""Encode each product's name, description and variants as unit vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from skutune.hashing import content_key
from skutune.pipeline.code_version import version_of
from skutune.records import Description, Embedding, Product, Variant
from skutune.stages.base import Context, ItemResult, MapStage, WorkItem

_WINDOW = 2048  # texts per encoder call; the encoder sorts them by length


@dataclass(frozen=True, slots=True)
class _Text:
    product_id: str
    kind: str
    number: int
    text: str


class Embed(MapStage):
    """A product's texts → Embeddings; rejected texts are skipped."""

    record = Embedding

    def __init__(self, context: Context) -> None:
        self.context = context
        self.max_tokens = context.config.models.encoder.max_tokens

    def items(self, part: int) -> Iterator[WorkItem]:
        model = self.context.identity("encoder")
        for text in self._texts(part):
            item_id = f"{text.product_id}/{text.kind}/{text.number}"
            key = content_key(["embed", version_of("embed"), item_id, text.text, model, self.max_tokens])
            yield WorkItem(item_id, key, text)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        stream = iter(items)
        while window := list(islice(stream, _WINDOW)):
            vectors = self.context.encoder().encode([item.content.text for item in window])
            for item, vector in zip(window, vectors, strict=True):
                text: _Text = item.content
                yield ItemResult(item, [Embedding(text.product_id, text.kind, text.number, vector, item.key)])

    def _texts(self, part: int) -> Iterator[_Text]:
        inputs = self.context.inputs
        for product in inputs.part("ingest", Product, part):
            yield _Text(product.id, "name", 0, product.name)
        for description in inputs.part("describe", Description, part):
            if description.rejected is None:
                yield _Text(description.product_id, "description", 0, description.text)
        for variant in inputs.part("paraphrase", Variant, part):
            if variant.rejected is None:
                yield _Text(variant.product_id, "variant", variant.number, variant.text)
