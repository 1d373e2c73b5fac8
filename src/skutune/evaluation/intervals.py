"""How sure a measure is: 95 % intervals of rates, and of the difference of two systems on the same questions.

Several references come from one answer and are right or wrong together, so that counting each as a trial of its own
promises too much. Their intervals resample whole questions (the cluster bootstrap; A. C. Davison, D. V. Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8). Where all resamples are alike (nothing was right, or
everything) they say nothing, and Wilson's interval over as many trials as there are questions takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.evaluation.rates import Rate, rate

RESAMPLES = 2000
_SEED = 20_231
_TAILS = (2.5, 97.5)

Counts = Sequence[tuple[int, int]]
"""(hits, trials) of each question."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher the second rate is than the first, with its 95 % interval; None where either has no trial."""

    value: float | None
    low: float
    high: float
    questions: int


def rate_of(counts: Counts) -> Rate:
    """Hits of all trials; by Wilson where a question has at most one trial, else by the cluster bootstrap."""
    hits, trials = _arrays(counts)
    plain = rate(int(hits.sum()), int(trials.sum()))
    if plain.rate is None or trials.max() <= 1:
        return plain
    low, high = _interval(_shares(_weights(len(hits)), hits, trials))
    if low == high:
        questions = int((trials > 0).sum())
        wilson = rate(round(plain.rate * questions), questions)
        low, high = wilson.low, wilson.high
    return Rate(plain.hits, plain.trials, plain.rate, min(low, plain.rate), max(high, plain.rate))


def difference(first: Counts, second: Counts) -> Difference:
    """The second system's rate minus the first's, place i of both being the same question: a paired bootstrap.

    Where all resamples are alike, the two rates' own intervals are added as squares (R. G. Newcombe, Statistics in
    Medicine 17, 1998), which takes the systems as independent and so is rather too wide.

    Raises:
        ValueError: the two are not about the same number of questions.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} questions against {len(second)}")
    before, after = rate_of(first), rate_of(second)
    if before.rate is None or after.rate is None:
        return Difference(None, -1.0, 1.0, 0)
    weights = _weights(len(first))
    value = after.rate - before.rate
    low, high = _interval(_shares(weights, *_arrays(second)) - _shares(weights, *_arrays(first)))
    if low == high:
        low = value - float(np.hypot(after.rate - after.low, before.high - before.rate))
        high = value + float(np.hypot(after.high - after.rate, before.rate - before.low))
    questions = sum(one[1] > 0 or other[1] > 0 for one, other in zip(first, second, strict=True))
    return Difference(value, max(low, -1.0), min(high, 1.0), questions)


def _arrays(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    both = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _weights(questions: int) -> NDArray[np.int64]:
    """How often each question is drawn in each resample, shape (RESAMPLES, questions); the same for the same number."""
    generator = np.random.default_rng([_SEED, questions])
    return generator.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES)


def _shares(weights: NDArray[np.int64], hits: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """The rate of each resample; NaN where it holds no trial."""
    drawn = weights @ trials
    return np.where(drawn > 0, weights @ hits / np.maximum(drawn, 1), np.nan)


def _interval(shares: NDArray[np.float64]) -> tuple[float, float]:
    known = shares[~np.isnan(shares)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.percentile(known, _TAILS)
    return float(low), float(high)
