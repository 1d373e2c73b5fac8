"""Collect the distinct names of all recommendations, bucketed by their normalised form, so that each is linked once."""

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
class _Seen:
    """How often each form of a name came, and the numbers of the products that it was written for."""

    forms: Counter[str] = field(default_factory=Counter)
    sources: array[int] = field(default_factory=lambda: array("I"))


class Distinct:
    """Recommendations → Names.

    Holds about 600 bytes a distinct name, 5 bytes a distinct pair of a name and its source, and each product's id.
    """

    def __init__(self, context: Context) -> None:
        self.inputs, self.report = context.inputs, context.report
        self.seen: dict[str, _Seen] = {}
        self.products: dict[str, int] = {}

    def run(self, outputs: Outputs) -> None:
        mentions = 0
        for recommendation in self.inputs.rows("recommend", Recommendation):
            if recommendation.rejected is not None:
                continue
            self._take(recommendation)
            mentions += len(recommendation.names)
            if mentions % 10_000 < len(recommendation.names):
                self.report("names", mentions, 0)
        partitioner, ids = Partitioner(Name), list(self.products)
        for normalised in sorted(self.seen):
            partitioner.add(_name(normalised, self.seen[normalised], ids), bucket_hash(normalised))
        outputs.buckets = self.inputs.manifest("recommend").buckets
        for part, table in partitioner.parts(outputs.buckets):
            outputs.arrow_part(part, table)
        outputs.figures.update(names=len(self.seen), mentions=mentions)

    def _take(self, recommendation: Recommendation) -> None:
        number = self.products.setdefault(recommendation.product_id, len(self.products))
        for slot, name in enumerate(recommendation.names):
            seen = self.seen.setdefault(normalise_name(name), _Seen())
            seen.forms[name] += 1
            # A product's recommendations follow each other, so that its pairs are hardly held twice.
            if slot == recommendation.source_slot and number not in seen.sources[-1:]:
                seen.sources.append(number)


def _name(normalised: str, seen: _Seen, ids: list[str]) -> Name:
    """The form seen most often stands for all; of equals the first in the alphabet."""
    text = min(seen.forms, key=lambda form: (-seen.forms[form], form))
    sources = sorted(ids[number] for number in set(seen.sources))
    key = content_key(["distinct", normalised, text, sources])
    return Name(normalised, text, seen.forms.total(), sources, key)
