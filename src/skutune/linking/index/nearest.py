"""Approximate nearest neighbours by exhaustive search over principal components.

The first principal components keep nearly all of the variance in a quarter of the dimensions. Only the selection of
candidates is approximate: the caller compares them in all dimensions. Small catalogs are not reduced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.linking.index.postings import Ints

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

SMALL = 4096  # products up to which all dimensions are kept
COMPONENTS = 128
_SAMPLED = 20_000  # rows that the components are computed from
_BLOCK = 16  # products per block of `highest`


@dataclass(frozen=True, slots=True)
class Nearest:
    """The reduced vectors of n products.

    `rows` has shape (n, c). `basis`, shape (d, c), projects queries of d dimensions; None without reduction (c = d).
    """

    rows: Floats
    basis: Floats | None

    @classmethod
    def build(cls, *parts: Floats) -> Nearest:
        """Build it from vectors whose dimensions are split over arrays of shape (n, d_i)."""
        count, dimension = len(parts[0]), sum(part.shape[1] for part in parts)
        return cls.restore(*parts, basis=principal(*parts) if count > SMALL and dimension > COMPONENTS else None)

    @classmethod
    def restore(cls, *parts: Floats, basis: Floats | None) -> Nearest:
        """Restore it from the vectors and the basis computed by `build`."""
        if basis is None:
            return cls(np.concatenate(parts, axis=1), None)
        ends = np.cumsum([part.shape[1] for part in parts])
        rows = np.zeros((len(parts[0]), basis.shape[1]), dtype=np.float32)
        # Without concatenating the parts: for 500,000 products that would copy 1.5 GiB.
        for part, end in zip(parts, ends.tolist(), strict=True):
            rows += part @ basis[end - part.shape[1] : end]
        return cls(rows, basis)

    def scores(self, queries: Floats) -> Floats:
        """Approximate inner products of queries, shape (q, d), with all vectors, shape (q, n)."""
        return np.asarray((queries if self.basis is None else queries @ self.basis) @ self.rows.T, dtype=np.float32)


def principal(*parts: Floats, components: int = COMPONENTS) -> Floats:
    """The uncentred principal directions of vectors, strongest first, shape (d, components).

    `parts` are arrays of the vectors' dimensions. Uncentred, because inner products are to be preserved.
    """
    step = max(1, len(parts[0]) // _SAMPLED)
    sample = np.concatenate([part[::step] for part in parts], axis=1).astype(np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.asarray(directions[:, ::-1][:, :components], dtype=np.float32)


def highest(scores: Floats, count: int) -> Ints:
    """The indices of the `count` highest scores of each row, unordered: scores (q, n), indices (q, min(count, n)).

    They lie within the `count` blocks with the highest maxima, and only these are partitioned. The elements of a block
    are a stride apart, because the maximum over the middle axis of an array is fast.
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
