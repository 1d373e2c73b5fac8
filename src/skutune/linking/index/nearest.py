"""The nearest products of a vector, among all, in a fraction of the time that comparing all dimensions takes.

The vectors' principal components hold nearly all that tells products apart in a quarter of the numbers. Products are
looked for among those, and whoever asks compares the found ones in full. So what is approximate is only which products
get looked at. A small catalog is compared in full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.linking.index.postings import Ints

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

SMALL = 4096  # products up to which nothing is reduced
COMPONENTS = 128
_SAMPLED = 20_000  # rows that the components are computed from
_BLOCK = 16  # products whose best stands for them while the highest are looked for


@dataclass(frozen=True, slots=True)
class Nearest:
    """n products' vectors, ready to be searched.

    `rows` has shape (n, c), `basis` (d, c): a query of d dimensions is brought to c by it. None: c is d.
    """

    rows: Floats
    basis: Floats | None

    @classmethod
    def build(cls, *parts: Floats) -> Nearest:
        """From vectors whose dimensions lie in several arrays of shape (n, d_i), side by side."""
        count, dimension = len(parts[0]), sum(part.shape[1] for part in parts)
        return cls.restore(*parts, basis=principal(*parts) if count > SMALL and dimension > COMPONENTS else None)

    @classmethod
    def restore(cls, *parts: Floats, basis: Floats | None) -> Nearest:
        """From the vectors and the basis that `build` found."""
        if basis is None:
            return cls(np.concatenate(parts, axis=1), None)
        ends = np.cumsum([part.shape[1] for part in parts])
        rows = np.zeros((len(parts[0]), basis.shape[1]), dtype=np.float32)
        # Side by side only in thought: 500,000 products' names and prototypes take 1.5 GiB, and as much once more.
        for part, end in zip(parts, ends.tolist(), strict=True):
            rows += part @ basis[end - part.shape[1] : end]
        return cls(rows, basis)

    def scores(self, queries: Floats) -> Floats:
        """The (nearly exact) products of queries, shape (q, d), with all vectors: shape (q, n)."""
        return np.asarray((queries if self.basis is None else queries @ self.basis) @ self.rows.T, dtype=np.float32)


def principal(*parts: Floats, components: int = COMPONENTS) -> Floats:
    """The principal directions of vectors about zero, the strongest first: shape (d, components).

    `parts` are the vectors' dimensions side by side. Not centred: what is kept are products of vectors, not distances
    from a mean.
    """
    step = max(1, len(parts[0]) // _SAMPLED)
    sample = np.concatenate([part[::step] for part in parts], axis=1).astype(np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.asarray(directions[:, ::-1][:, :components], dtype=np.float32)


def highest(scores: Floats, count: int) -> Ints:
    """The places of the `count` highest scores of each row, in any order: scores (q, n), places (q, min(count, n)).

    The highest lie within the `count` blocks of the highest bests; only those are sorted through. A block's products
    lie a stride apart, because maxima over the middle axis of an array are the fast ones.
    """
    rows, columns = scores.shape
    if columns <= 2 * count * _BLOCK:
        if columns <= count:
            return np.tile(np.arange(columns), (rows, 1))
        return np.argpartition(-scores, count, axis=1)[:, :count]
    stride = columns // _BLOCK
    whole = stride * _BLOCK
    bests = scores[:, :whole].reshape(rows, _BLOCK, stride).max(axis=1)
    blocks = np.argpartition(-bests, count, axis=1)[:, :count]
    places = (blocks[:, :, None] + np.arange(_BLOCK) * stride).reshape(rows, count * _BLOCK)
    places = np.concatenate([places, np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))], axis=1)
    values = np.take_along_axis(scores, places, axis=1)
    best = np.argpartition(-values, count, axis=1)[:, :count]
    return np.take_along_axis(places, best, axis=1)
