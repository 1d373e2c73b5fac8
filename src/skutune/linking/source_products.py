"""P(acceptable) of the products that names were written for.

A recommended name is written for one product, its source. In a large catalog many products answer to a short name, and
the source is rarely among the few best of them. Whether it may be called so is asked of it alone: it is judged like a
candidate, as if it were found beside those that the name has, and changes nothing about them. So what is said of a name
and a source depends on no other source.

That the name was written for it speaks for a source: by the same evidence it is likelier right than a product that was
merely found. How much likelier was measured on 500 names that a small LLM wrote for as many products of the reference
catalog, each pair labelled by hand (tests/grocery/sources.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.linking import calibration
from skutune.linking.linker import Linker, Ranked
from skutune.linking.vectors import classifier
from skutune.records import Source
from skutune.text import normalise_name

WRITTEN_FOR = 1.5  # log-odds that a source has more than a candidate of the same evidence
_BLOCK = 256  # names and sources that are judged together: some 30,000 rows of features


class SourceScorer:
    """Judges the sources of names by a linker."""

    def __init__(self, linker: Linker) -> None:
        self.linker = linker
        self._rows = {product_id: row for row, product_id in enumerate(linker.ids)}

    def judge(
        self,
        names: Sequence[str],
        vectors: NDArray[Any],
        ranked: Sequence[Ranked],
        sources: Sequence[Sequence[str]],
        precision: float,
    ) -> list[list[Source]]:
        """The sources of each name, in the order given; accepted are those that reach the wanted precision.

        One that contradicts a constraint of the name has p 0, and so has any of a name without a letter.

        Args:
            names: n names.
            vectors: shape (n, dimension), as of `Linker.rank`.
            ranked: what `Linker.rank` said of them.
            sources: the ids of each name's sources, products of the linker's catalog.
            precision: the wanted precision.
        """
        threshold = self.linker.calibration.threshold(precision)
        pairs = [(place, self._rows[source]) for place, ids in enumerate(sources) for source in ids]
        told: list[list[Source]] = [[] for _ in names]
        for (place, row), p in zip(pairs, self._p(names, vectors, ranked, pairs), strict=True):
            told[place].append(Source(self.linker.ids[row], self.linker.names[row], p, p >= threshold))
        return told

    def _p(
        self, names: Sequence[str], vectors: NDArray[Any], ranked: Sequence[Ranked], pairs: Sequence[tuple[int, int]]
    ) -> list[float]:
        """P of each pair of a name's place and a product's row."""
        p = [_p_of(row, ranked[place]) for place, row in pairs]
        unseen = [at for at, (place, _) in enumerate(pairs) if p[at] is None and normalise_name(names[place])]
        for start in range(0, len(unseen), _BLOCK):
            block = unseen[start : start + _BLOCK]
            beside = self._beside(names, vectors, ranked, [pairs[at] for at in block])
            for at, judged in zip(block, beside, strict=True):
                p[at] = _p_of(pairs[at][1], judged)
        return [each or 0.0 for each in p]

    def _beside(
        self, names: Sequence[str], vectors: NDArray[Any], ranked: Sequence[Ranked], pairs: Sequence[tuple[int, int]]
    ) -> Iterator[Ranked]:
        """The candidates of each pair's name, judged once more with the pair's product among them."""
        asked = [names[place] for place, _ in pairs]
        unit = classifier.unit(np.asarray(vectors)[[place for place, _ in pairs]])
        found = [np.append(ranked[place].products, row) for place, row in pairs]
        for name, (products, features) in zip(asked, self.linker.evidence.among(asked, unit, found), strict=True):
            yield self.linker.judge(name, products, features)


def _p_of(row: int, ranked: Ranked) -> float | None:
    """P of a source among a name's candidates; None where it is none of them."""
    (places,) = np.nonzero(ranked.products == row)
    if not len(places):
        return None
    return float(calibration.probabilities(ranked.odds[places] + WRITTEN_FOR, ranked.literal[places] > 0)[0])
