"""P(acceptable): how sure it is that a product is what a name stands for.

A softmax over products would give each of 300 yogurts 0.003 for "yogurt" and say nothing. Here each candidate is judged
by itself, by a logistic regression over its evidence. Its coefficients are the most probable ones under a Gaussian
around a **prior** (MAP): sixteen products teach next to nothing and keep the prior, fifty thousand overrule it. The
prior was fitted once, on a public catalog of 49,688 groceries, by tests/benchmarks/fit_prior.py, and lies beside this
module as prior.json; features are measured so that they mean the same with every encoder and catalog (evidence.py).

Literal matches are not estimated: a product whose name is the asked name is acceptable by definition.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.errors import InputError
from skutune.linking.classifier import Floats
from skutune.linking.evidence import FEATURES

LITERAL_P = 0.99
PRIOR_PRECISION = 20.0  # of each coefficient around the prior, as if some twenty informative pairs had been seen before
_STEPS = 50
_CONVERGED = 1e-6
_RANGE = (0.1, 1.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients for FEATURES, in their order; `margin` in log-odds is how far below the best a near-tie may lie."""

    coefficients: tuple[float, ...]
    intercept: float
    margin: float
    features: tuple[str, ...] = FEATURES

    def log_odds(self, features: Floats) -> Floats:
        """log(p / (1 - p)) of each row; features of shape (n, len(FEATURES))."""
        return np.asarray(features @ np.array(self.coefficients, dtype=np.float32) + self.intercept, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote. Raises InputError where it was fitted for other features."""
        document = json.loads(path.read_text(encoding="utf-8"))
        if tuple(document["features"]) != FEATURES:
            raise InputError(f"{path}: fitted by another version of skutune; run the classify stage again")
        return cls(tuple(document["coefficients"]), document["intercept"], document["margin"])


def prior() -> Calibration:
    """The packaged calibration, for a catalog of which nothing is known."""
    return Calibration.load(Path(__file__).with_name("prior.json"))


def fit(
    features: Floats,
    acceptable: NDArray[np.bool_],
    weights: Floats,
    start: Calibration,
    precision: float = PRIOR_PRECISION,
) -> Calibration:
    """The most probable calibration given labelled pairs and the prior.

    Newton's method on the log-posterior (Bishop, Pattern Recognition and Machine Learning, 4.5). With a prior of zeros
    it is scikit-learn's LogisticRegression(C=1/precision), which cannot start from anything else. The intercept has the
    same prior as the coefficients, so that a catalog of few products keeps the prior's caution.

    Args:
        features: shape (n, len(FEATURES)).
        acceptable: whether each pair is right, shape (n,).
        weights: how much each pair counts, shape (n,).
        start: the prior's mean; its margin is kept.
        precision: the prior's, of each coefficient; greater keeps nearer to `start`.
    """
    x = np.column_stack([features.astype(np.float64), np.ones(len(features))])
    mean = np.array([*start.coefficients, start.intercept])
    found = mean.copy()
    for _ in range(_STEPS):
        p = sigmoid(x @ found)
        gradient = x.T @ (weights * (p - acceptable)) + precision * (found - mean)
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x + precision * np.eye(len(mean))
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full step may overshoot; a bounded one still descends.
        found -= step / max(1.0, float(np.abs(step).max()) / 5)
        if np.abs(step).max() < _CONVERGED:
            break
    return Calibration(tuple(float(value) for value in found[:-1]), float(found[-1]), start.margin)


def probabilities(log_odds: Floats, literal: NDArray[np.bool_]) -> Floats:
    """P(acceptable) from log-odds, at least LITERAL_P for what is literally the asked name."""
    estimated = sigmoid(log_odds)
    return np.asarray(np.where(literal, np.maximum(estimated, LITERAL_P), estimated), dtype=np.float32)


def margin_of(shortfalls: Floats) -> float:
    """The margin from how far, in log-odds, right products fell short of the best candidate: the median, bounded.

    Half of the right products lie within it; the bounds keep a tie a tie and a worse product out.
    """
    if not len(shortfalls):
        return _RANGE[0]
    return float(np.clip(np.median(shortfalls), *_RANGE))


def quality(p: Floats, acceptable: NDArray[np.bool_], weights: Floats, wanted: float) -> dict[str, Any]:
    """Brier score, log loss, area under the ROC curve; precision and recall of what reaches the wanted precision."""
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    linked = p >= wanted
    right = float(weights[linked & acceptable].sum())
    return {
        "brier": float(brier_score_loss(acceptable, p, sample_weight=weights)),
        "log_loss": float(log_loss(acceptable, p, sample_weight=weights, labels=[False, True])),
        "auc": float(roc_auc_score(acceptable, p, sample_weight=weights)),
        "precision": right / max(float(weights[linked].sum()), 1e-9),
        "recall": right / max(float(weights[acceptable].sum()), 1e-9),
        "pairs": len(p),
    }


def sigmoid(values: Any) -> Any:
    """1 / (1 + e^-x), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))
