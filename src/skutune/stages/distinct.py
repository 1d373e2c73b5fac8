"""Collect the distinct names of all recommendations, bucketed by their normalised form, so that each is linked once."""

from __future__ import annotations

from collections import Counter

from skutune.hashing import bucket_hash, content_key
from skutune.records import Name, Recommendation
from skutune.stages.base import Context, Outputs
from skutune.tables import Partitioner
from skutune.text import normalise_name


class Distinct:
    """Recommendations → Names. Holds one counter a distinct name: about 400 bytes each."""

    def __init__(self, context: Context) -> None:
        self.inputs, self.report = context.inputs, context.report

    def run(self, outputs: Outputs) -> None:
        forms: dict[str, Counter[str]] = {}
        mentions = 0
        for recommendation in self.inputs.rows("recommend", Recommendation):
            if recommendation.rejected is not None:
                continue
            for name in recommendation.names:
                forms.setdefault(normalise_name(name), Counter())[name] += 1
                mentions += 1
            if mentions % 10_000 < len(recommendation.names):
                self.report("names", mentions, 0)
        partitioner = Partitioner(Name)
        for normalised in sorted(forms):
            partitioner.add(_name(normalised, forms[normalised]), bucket_hash(normalised))
        outputs.buckets = self.inputs.manifest("recommend").buckets
        for part, table in partitioner.parts(outputs.buckets):
            outputs.arrow_part(part, table)
        outputs.figures.update(names=len(forms), mentions=mentions)


def _name(normalised: str, forms: Counter[str]) -> Name:
    """The form seen most often stands for all; of equals the first in the alphabet."""
    text = min(forms, key=lambda form: (-forms[form], form))
    return Name(normalised, text, forms.total(), content_key(["distinct", normalised, text]))
