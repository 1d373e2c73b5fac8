"""Accuracy of the classifier and calibration of P(acceptable) on held-out texts and names.

Read from the classify stage's figures. A run of few products has nothing to hold out, and no such figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_METHODS = {
    "neighbour": "nearest text of any product",
    "centroid": "nearest mean of a product's texts",
    "whitened": "the same, whitened",
    "trained": "the same, with a trained projection",
}
_KEPT_AS = {"identity": "centroid", "whitened": "whitened", "trained": "trained"}


@dataclass(frozen=True, slots=True)
class Method:
    """A classifier and its accuracy on held-out texts; the run uses the kept one."""

    name: str
    right: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Reliability:
    """A bin of the reliability diagram: mean P(acceptable), share of acceptable pairs, and count."""

    p: float
    acceptable: float
    names: int


@dataclass(frozen=True, slots=True)
class Operating:
    """The precision and coverage reached at a target precision."""

    wanted: float
    precision: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Classifying:
    """Metrics of classifier and calibration; lists are empty if too little was held out."""

    methods: list[Method]
    texts: int
    why: str
    reliability: list[Reliability]
    operating: list[Operating]


def read_classifying(figures: Mapping[str, Any]) -> Classifying:
    """From the figures of the classify stage's manifest."""
    classifier, calibration = figures.get("classifier", {}), figures.get("calibration", {})
    return Classifying(
        methods=list(_methods(classifier)),
        texts=classifier.get("measured", 0),
        why=classifier.get("why", ""),
        reliability=[Reliability(**row) for row in _rows(calibration, "reliability")],
        operating=[Operating(**row) for row in _rows(calibration, "coverage")],
    )


def _methods(classifier: Mapping[str, Any]) -> Iterator[Method]:
    kept = _KEPT_AS.get(classifier.get("projection", ""))
    for method, name in _METHODS.items():
        if (right := classifier.get(f"accuracy_{method}")) is not None:
            yield Method(name, right, method == kept)


def _rows(calibration: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = calibration.get(name) or ()
    return rows
