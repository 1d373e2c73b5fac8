"""P(acceptable): the probability that a product is an acceptable answer to a name.

A softmax over products would give each of 300 yogurts 0.003 for "yogurt". Here each candidate is scored separately, by
a logistic regression over its features. The **prior** was fitted to hand-labelled names over a public catalog of 49,688
groceries (tests/grocery/prior.py) and is packaged as prior.json; features are scaled so that they are comparable across
encoders and catalogs (features.py, vectors/cosine_scale.py). A catalog adapts the prior's log-odds by a scale and a
shift (Platt scaling, 1999), fitted to synthetic names. These are too easy to fit more parameters, and a small catalog
keeps the prior.

Literal matches are not estimated: a product with the very name is acceptable by rule (linker.py).

Users choose a target **precision**, the share of correct links. Most links are more certain than the least certain one,
whose probability may therefore be below the target; `Calibration.threshold` returns it.
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
PRIOR_PRECISION = 20.0  # of the Gaussian prior of scale and shift, worth some eighty uncertain names
_STEPS = 50
_CONVERGED = 1e-6
WANTED = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""The precisions of `Calibration.cuts`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients for FEATURES, in their order.

    `margin` is the maximum distance of a near-tie from the best candidate, in log-odds. `cuts` are the thresholds of p
    at which the precisions WANTED were reached.
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
        """The minimum p of a link for a target precision.

        Interpolated between the measured precisions; outside of them the precision itself, but monotonic.
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
        """The calibration with another margin of near-ties."""
        return replace(self, margin=margin)

    @classmethod
    def restore(cls, document: dict[str, Any]) -> Calibration:
        """Restore it from its fields. Raises InputError if it was fitted to other features."""
        if tuple(document["features"]) != FEATURES:
            raise InputError("a linker of another version of skutune; run the classify stage again")
        margin, cuts = document["margin"], tuple(document["cuts"])
        return cls(tuple(document["coefficients"]), document["intercept"], margin, cuts)


def prior(products: int) -> Calibration:
    """The packaged calibration for a catalog of this size.

    Of twenty products a single steak is likely meant by "steak"; of fifty thousand, a single match is likely a
    coincidence. The prior was therefore fitted at several sizes and is interpolated over the logarithm of the size.
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
    """The scale and shift of synthetic names of the reference catalog, relative to its hand-labelled names.

    Synthetic names are easier than real ones; only the difference to this bias is attributed to another catalog.
    """

    scale: float
    shift: float

    def beyond(self, scale: float, shift: float) -> tuple[float, float]:
        """The scale and shift of a catalog whose synthetic names have these, with the bias removed."""
        return scale / self.scale, (shift - self.shift) / self.scale


def load_synthetic_bias() -> SyntheticBias:
    """The packaged bias, as measured by tests/grocery/prior.py."""
    return SyntheticBias(**json.loads(Path(__file__).with_name("prior.json").read_text(encoding="utf-8"))["made"])


def fit(
    odds: Floats, right: NDArray[np.bool_], precision: float = PRIOR_PRECISION, start: tuple[float, float] = (1.0, 0.0)
) -> tuple[float, float]:
    """The maximum a posteriori scale and shift of log-odds under a Gaussian prior around `start`.

    Newton's method on the log-posterior (Bishop, Pattern Recognition and Machine Learning, 4.5).

    Args:
        odds: log-odds of the best candidates of n names, shape (n,).
        right: whether each was right, shape (n,).
        precision: of the Gaussian prior.
        start: the mean of the Gaussian prior.
    """
    x = np.column_stack([odds.astype(np.float64), np.ones(len(odds))])
    mean = np.array(start)
    values = mean.copy()
    for _ in range(_STEPS):
        p = sigmoid(x @ values)
        gradient = x.T @ (p - right) + precision * (values - mean)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + precision * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full step may overshoot; a bounded one still descends.
        values -= step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < _CONVERGED:
            break
    return float(values[0]), float(values[1])


def probabilities(log_odds: Floats, literal: NDArray[np.bool_]) -> Floats:
    """P(acceptable) from log-odds; at least LITERAL_P for literal matches."""
    estimated = sigmoid(log_odds)
    return np.asarray(np.where(literal, np.maximum(estimated, LITERAL_P), estimated), dtype=np.float32)


def reliability(p: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[dict[str, float]]:
    """Reliability diagram of best candidates in bins of equal size: mean p, share of acceptable ones, and count."""
    order = np.argsort(p, kind="stable")
    return [
        {"p": float(p[part].mean()), "acceptable": float(right[part].mean()), "names": len(part)}
        for part in np.array_split(order, min(bins, len(p)))
        if len(part)
    ]


def coverage(p: Floats, right: NDArray[np.bool_], judge: Calibration) -> list[dict[str, float]]:
    """The precision reached and the share of names linked, for each target precision."""
    rows = []
    for wanted in WANTED:
        linked = p >= judge.threshold(wanted)
        rows.append(
            {
                "wanted": wanted,
                "precision": float(right[linked].mean()) if linked.any() else 1.0,
                "coverage": float(linked.mean()) if len(p) else 0.0,
            }
        )
    return rows


def sigmoid(values: Any) -> Any:
    """1 / (1 + e^-x), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))
