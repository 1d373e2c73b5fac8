"""P(acceptable) of source products, the products that names were generated for.

In a large catalog many products fit a short name, and the source product is rarely among the best few. It is scored as
an additional candidate, without any effect on the others, so that the score of a name and its source does not depend on
other sources.

A source product has higher prior odds than a retrieved candidate with the same features. The difference was measured on
500 names that a small LLM generated for products of the reference catalog, labelled by hand (tests/grocery/sources.py).
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

WRITTEN_FOR = 1.5  # additional log-odds of a source over a candidate with the same features
_BLOCK = 256  # pairs of names and sources that are scored together: some 30,000 rows of features


class SourceScorer:
    """Scores the source products of names with a linker."""

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
        """Score the sources of each name, in the given order; those that reach the target precision are accepted.

        A source that violates a constraint of the name has p 0, as have all sources of a name without letters.

        Args:
            names: n names.
            vectors: shape (n, dimension), as of `Linker.rank`.
            ranked: their candidates, as ranked by `Linker.rank`.
            sources: the ids of each name's sources, products of the linker's catalog.
            precision: the target precision.
        """
        threshold = self.linker.calibration.threshold(precision)
        pairs = [(place, self._rows[source]) for place, ids in enumerate(sources) for source in ids]
        scored: list[list[Source]] = [[] for _ in names]
        for (place, row), p in zip(pairs, self._p(names, vectors, ranked, pairs), strict=True):
            scored[place].append(Source(self.linker.ids[row], self.linker.names[row], p, p >= threshold))
        return scored

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
        """Rank the candidates of each pair's name again, together with the pair's product."""
        asked = [names[place] for place, _ in pairs]
        unit = classifier.unit(np.asarray(vectors)[[place for place, _ in pairs]])
        candidates = [np.append(ranked[place].products, row) for place, row in pairs]
        for name, (products, features) in zip(asked, self.linker.evidence.among(asked, unit, candidates), strict=True):
            yield self.linker.judge(name, products, features)


def _p_of(row: int, ranked: Ranked) -> float | None:
    """P of a source that is among a name's candidates; None if it is not."""
    (places,) = np.nonzero(ranked.products == row)
    if not len(places):
        return None
    return float(calibration.probabilities(ranked.odds[places] + WRITTEN_FOR, ranked.literal[places] > 0)[0])
