"""P(acceptable) of the products that names were written for.

A recommended name is written for one product, its source. In a large catalog many products answer to a short name, and
the source is rarely among the few best of them. Whether it may be called so is asked of it alone: it is judged like a
candidate, as if it were found beside those that the name has, and changes nothing about them. So what is said of a name
and a source depends on no other source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.linking import classifier
from skutune.linking.linker import Linker, Ranked
from skutune.records import Source
from skutune.text import normalise_name

_BLOCK = 256  # names and sources that are judged together: some 30,000 rows of features


class Sources:
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

        One that contradicts a constraint of the name has p 0.

        Args:
            names: n names.
            vectors: shape (n, dimension), as of `Linker.rank`.
            ranked: what `Linker.rank` said of them.
            sources: the ids of each name's sources, products of the linker's catalog.
            precision: the wanted precision.
        """
        p = [dict(zip(each.products.tolist(), each.p.tolist(), strict=True)) for each in ranked]
        missing = [
            (place, self._rows[source])
            for place, ids in enumerate(sources)
            for source in ids
            if self._rows[source] not in p[place] and normalise_name(names[place])
        ]
        for (place, row), found in zip(missing, self._beside(names, vectors, ranked, missing), strict=True):
            p[place][row] = found
        threshold = self.linker.calibration.threshold(precision)
        return [
            [self._source(self._rows[source], p[place].get(self._rows[source], 0.0), threshold) for source in ids]
            for place, ids in enumerate(sources)
        ]

    def _beside(
        self, names: Sequence[str], vectors: NDArray[Any], ranked: Sequence[Ranked], pairs: Sequence[tuple[int, int]]
    ) -> Iterator[float]:
        """P of each pair of a name's place and a product's row, which is none of the name's candidates."""
        for at in range(0, len(pairs), _BLOCK):
            block = pairs[at : at + _BLOCK]
            asked = [names[place] for place, _ in block]
            unit = classifier.unit(np.asarray(vectors)[[place for place, _ in block]])
            beside = [np.append(ranked[place].products, row) for place, row in block]
            judged = self.linker.evidence.among(asked, unit, beside)
            for name, (_, row), (products, features) in zip(asked, block, judged, strict=True):
                each = self.linker.judge(name, products, features)
                yield float(each.p[each.products == row].sum())  # nothing, where a constraint forbids it

    def _source(self, row: int, p: float, threshold: float) -> Source:
        return Source(self.linker.ids[row], self.linker.names[row], p, p >= threshold)
