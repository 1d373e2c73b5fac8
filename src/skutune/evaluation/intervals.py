"""95 % intervals of rates, and of the difference of two systems on the same questions.

References of one answer and questions about one product are correlated, so that counting each as an independent trial
makes intervals too narrow. Intervals resample whole clusters (the cluster bootstrap;
A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Of few clusters there are too
few resamples: below 20 they miss the true rate far oftener than in 5 of 100 cases, and where all are alike (nothing was
right, or everything) they say nothing. There the interval is at least as wide as Wilson's over as many trials as there
are clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.evaluation.rates import Rate, rate, wilson

RESAMPLES = 2000
_SEED = 20_231
_TAILS = (2.5, 97.5)
_FEW = 20
"""Below this number of clusters a bootstrap alone is too narrow."""

Counts = Sequence[tuple[int, int]]
"""(hits, trials) of each cluster: a question, or all those about one product."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The second rate minus the first, with its 95 % interval; None if either has no trials.

    `clusters` are those in which either has one.
    """

    value: float | None
    low: float
    high: float
    clusters: int


def rate_of(counts: Counts) -> Rate:
    """The pooled rate, with a Wilson interval if every cluster has at most one trial, else by the cluster bootstrap."""
    hits, trials = _arrays(counts)
    plain = rate(int(hits.sum()), int(trials.sum()))
    if plain.rate is None or trials.max() <= 1:
        return plain
    low, high = _interval(_shares(_weights(len(hits)), hits, trials))
    clusters = int((trials > 0).sum())
    if clusters < _FEW or low == high:
        least, most = wilson(plain.rate, clusters)
        low, high = min(low, least), max(high, most)
    return Rate(plain.hits, plain.trials, plain.rate, min(low, plain.rate), max(high, plain.rate))


def difference(first: Counts, second: Counts) -> Difference:
    """The second system's rate minus the first's, place i of both being the same cluster: a paired bootstrap.

    Of few clusters, and where all resamples are alike, it is at least as wide as the two rates' own intervals added as
    squares (R. G. Newcombe, Statistics in Medicine 17, 1998), which takes the systems as independent.

    Raises:
        ValueError: the two are not about the same number of clusters.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} clusters against {len(second)}")
    before, after = rate_of(first), rate_of(second)
    if before.rate is None or after.rate is None:
        return Difference(None, -1.0, 1.0, 0)
    weights = _weights(len(first))
    value = after.rate - before.rate
    low, high = _interval(_shares(weights, *_arrays(second)) - _shares(weights, *_arrays(first)))
    clusters = sum(one[1] > 0 or other[1] > 0 for one, other in zip(first, second, strict=True))
    if clusters < _FEW or low == high:
        low = min(low, value - float(np.hypot(after.rate - after.low, before.high - before.rate)))
        high = max(high, value + float(np.hypot(after.high - after.rate, before.rate - before.low)))
    return Difference(value, max(low, -1.0), min(high, 1.0), clusters)


def _arrays(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    both = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _weights(clusters: int) -> NDArray[np.int64]:
    """The multiplicity of each cluster in each resample, shape (RESAMPLES, clusters); deterministic."""
    generator = np.random.default_rng([_SEED, clusters])
    return generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)


def _shares(weights: NDArray[np.int64], hits: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """The rate of each resample; NaN without trials."""
    drawn = weights @ trials
    return np.where(drawn > 0, weights @ hits / np.maximum(drawn, 1), np.nan)


def _interval(shares: NDArray[np.float64]) -> tuple[float, float]:
    known = shares[~np.isnan(shares)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.percentile(known, _TAILS)
    return float(low), float(high)
