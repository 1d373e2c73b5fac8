"""P(acceptable): how sure it is that a product is what a name stands for.

A softmax over products would give each of 300 yogurts 0.003 for "yogurt" and say nothing. Here each candidate is judged
by itself, by a logistic regression over its evidence. The **prior** was fitted once on names that people labelled by
hand over a public catalog of 49,688 groceries (tests/grocery/prior.py) and lies beside this module as prior.json;
features are measured so that they mean the same with every encoder and catalog (evidence.py, ruler.py). A catalog moves
the prior's log-odds by a scale and a shift alone (Platt, 1999), learned from names that are made from the catalog
itself: made names are too easy to learn more from, and a catalog of few products keeps the prior.

Literal matches are not estimated: a product whose name is the asked name is acceptable by rule (linker.py).

A user wants a **precision**: the share of right products among all that are linked. As most links are surer than the
least sure one, that one may be less likely to be right than the wanted share; `threshold` says how much less.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.errors import InputError
from skutune.linking.features import FEATURES
from skutune.linking.vectors.classifier import Floats

LITERAL_P = 0.99
PRIOR_PRECISION = 20.0  # of scale and shift around 1 and 0, as if some eighty doubtful names had been seen before
_STEPS = 50
_CONVERGED = 1e-6
WANTED = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""The precisions of `Calibration.cuts`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients for FEATURES, in their order.

    `margin` in log-odds is how far below the best a near-tie may lie. `cuts` are the thresholds of p at which WANTED
    precisions were reached.
    """

    coefficients: tuple[float, ...]
    intercept: float
    margin: float
    cuts: tuple[float, ...] = WANTED
    features: tuple[str, ...] = FEATURES

    def log_odds(self, features: Floats) -> Floats:
        """log(p / (1 - p)) of each row; features of shape (n, len(FEATURES))."""
        return np.asarray(features @ np.array(self.coefficients, dtype=np.float32) + self.intercept, dtype=np.float32)

    def threshold(self, precision: float) -> float:
        """The p that a candidate must reach for this share of the linked to be right.

        Between the measured precisions it is interpolated; outside of them it is the precision itself, but never less
        sure for a greater precision.
        """
        if precision < WANTED[0]:
            return min(precision, self.cuts[0])
        if precision > WANTED[-1]:
            return max(precision, self.cuts[-1])
        return float(np.interp(precision, WANTED, self.cuts))

    def scaled(self, scale: float, shift: float) -> Calibration:
        """The calibration whose log-odds are scale × log-odds + shift."""
        coefficients = tuple(scale * value for value in self.coefficients)
        return replace(self, coefficients=coefficients, intercept=scale * self.intercept + shift)

    def with_margin(self, margin: float) -> Calibration:
        """The same, but for how far near-ties may lie apart."""
        return replace(self, margin=margin)

    @classmethod
    def restore(cls, document: dict[str, Any]) -> Calibration:
        """From its fields. Raises InputError where it was fitted for other features."""
        if tuple(document["features"]) != FEATURES:
            raise InputError("a linker of another version of skutune; run the classify stage again")
        margin, cuts = document["margin"], tuple(document["cuts"])
        return cls(tuple(document["coefficients"]), document["intercept"], margin, cuts)


def prior(products: int) -> Calibration:
    """The packaged calibration, for a catalog of so many products of which nothing else is known.

    In a shop of twenty products one steak is all the steak there is; in one of fifty thousand a name that fits a single
    product fits it by chance. So it was fitted at several sizes, and is interpolated by the logarithm of the size.
    """
    document = json.loads(Path(__file__).with_name("prior.json").read_text(encoding="utf-8"))
    fitted = [Calibration.restore(each) for each in document["calibrations"]]
    at, sizes = np.log(max(products, 1)), np.log(document["sizes"])

    def between(values: Sequence[float]) -> float:
        return float(np.interp(at, sizes, values))

    return Calibration(
        tuple(between(values) for values in zip(*(each.coefficients for each in fitted), strict=True)),
        between([each.intercept for each in fitted]),
        between([each.margin for each in fitted]),
        tuple(between(values) for values in zip(*(each.cuts for each in fitted), strict=True)),
    )


@dataclass(frozen=True, slots=True)
class SyntheticBias:
    """The scale and shift that names made from the reference catalog ask for, where hand labels ask for none.

    Made names are easier than what people write. What a catalog's own made names ask for beyond this is the catalog's.
    """

    scale: float
    shift: float

    def beyond(self, scale: float, shift: float) -> tuple[float, float]:
        """What made names that ask for this scale and shift say of their catalog."""
        return scale / self.scale, (shift - self.shift) / self.scale


def load_synthetic_bias() -> SyntheticBias:
    """What prior.py measured."""
    return SyntheticBias(**json.loads(Path(__file__).with_name("prior.json").read_text(encoding="utf-8"))["made"])


def fit(
    odds: Floats, right: NDArray[np.bool_], precision: float = PRIOR_PRECISION, start: tuple[float, float] = (1.0, 0.0)
) -> tuple[float, float]:
    """The most probable scale and shift of a calibration's log-odds, under a Gaussian around `start`.

    Newton's method on the log-posterior (Bishop, Pattern Recognition and Machine Learning, 4.5).

    Args:
        odds: log-odds of the best candidates of n names, shape (n,).
        right: whether each was right, shape (n,).
        precision: the prior's; greater keeps nearer to `start`.
        start: its mean.
    """
    x = np.column_stack([odds.astype(np.float64), np.ones(len(odds))])
    mean = np.array(start)
    found = mean.copy()
    for _ in range(_STEPS):
        p = sigmoid(x @ found)
        gradient = x.T @ (p - right) + precision * (found - mean)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + precision * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full step may overshoot; a bounded one still descends.
        found -= step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < _CONVERGED:
            break
    return float(found[0]), float(found[1])


def probabilities(log_odds: Floats, literal: NDArray[np.bool_]) -> Floats:
    """P(acceptable) from log-odds, at least LITERAL_P for what is literally the asked name."""
    estimated = sigmoid(log_odds)
    return np.asarray(np.where(literal, np.maximum(estimated, LITERAL_P), estimated), dtype=np.float32)


def reliability(p: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[dict[str, float]]:
    """Names by p of their best candidate, in bins of as many names: mean p, share that was right, how many."""
    order = np.argsort(p, kind="stable")
    return [
        {"p": float(p[part].mean()), "acceptable": float(right[part].mean()), "names": len(part)}
        for part in np.array_split(order, min(bins, len(p)))
        if len(part)
    ]


def coverage(p: Floats, right: NDArray[np.bool_], judge: Calibration) -> list[dict[str, float]]:
    """For each wanted precision the one that was reached, and the share of names that were linked at all."""
    told = []
    for wanted in WANTED:
        linked = p >= judge.threshold(wanted)
        told.append(
            {
                "wanted": wanted,
                "precision": float(right[linked].mean()) if linked.any() else 1.0,
                "coverage": float(linked.mean()) if len(p) else 0.0,
            }
        )
    return told


def sigmoid(values: Any) -> Any:
    """1 / (1 + e^-x), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))
