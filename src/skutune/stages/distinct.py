"""Deduplicate the names of all recommendations, bucketed by normalised form, so that each is linked once."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from skutune.hashing import bucket_hash, content_key
from skutune.pipeline.stage_io import Outputs
from skutune.pipeline.tables import Partitioner
from skutune.records import Name, Recommendation
from skutune.stages.base import Context
from skutune.text import normalise_name


@dataclass(slots=True)
class _Mentions:
    """How often each spelling of a name occurs, and the indices of its source products."""

    spellings: Counter[str] = field(default_factory=Counter)
    sources: array[int] = field(default_factory=lambda: array("I"))


class Distinct:
    """Recommendations → Names.

    Memory: about 600 bytes per distinct name, 5 bytes per distinct (name, source product) pair, and all product ids.
    """

    def __init__(self, context: Context) -> None:
        self.inputs, self.report = context.inputs, context.report
        self.mentions: dict[str, _Mentions] = {}
        self.products: dict[str, int] = {}

    def run(self, outputs: Outputs) -> None:
        mention_count = 0
        for recommendation in self.inputs.rows("recommend", Recommendation):
            if recommendation.rejected is not None:
                continue
            self._add(recommendation)
            mention_count += len(recommendation.names)
            if mention_count % 10_000 < len(recommendation.names):
                self.report("names", mention_count, 0)
        partitioner, ids = Partitioner(Name), list(self.products)
        for normalised in sorted(self.mentions):
            partitioner.add(_name(normalised, self.mentions[normalised], ids), bucket_hash(normalised))
        outputs.buckets = self.inputs.manifest("recommend").buckets
        for part, table in partitioner.parts(outputs.buckets):
            outputs.arrow_part(part, table)
        outputs.figures.update(names=len(self.mentions), mentions=mention_count)

    def _add(self, recommendation: Recommendation) -> None:
        product = self.products.setdefault(recommendation.product_id, len(self.products))
        for slot, name in enumerate(recommendation.names):
            mentions = self.mentions.setdefault(normalise_name(name), _Mentions())
            mentions.spellings[name] += 1
            # The recommendations of a product are adjacent, so that hardly any pair is stored twice.
            if slot == recommendation.source_slot and product not in mentions.sources[-1:]:
                mentions.sources.append(product)


def _name(normalised: str, mentions: _Mentions, ids: list[str]) -> Name:
    """The row of a name; its text is the most frequent spelling, on a tie the alphabetically first."""
    text = min(mentions.spellings, key=lambda spelling: (-mentions.spellings[spelling], spelling))
    sources = sorted(ids[product] for product in set(mentions.sources))
    key = content_key(["distinct", normalised, text, sources])
    return Name(normalised, text, mentions.spellings.total(), sources, key)
