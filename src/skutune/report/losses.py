"""The loss curves of fine-tuning, from its file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Losses:
    """(step, loss in nats per token) of training and of validation, and the rate of training."""

    training: Points
    validation: Points
    tokens: int
    seconds: float


def read_losses(lines: Iterable[str]) -> Losses:
    """The points of `metrics.jsonl`; points without a loss, or with NaN, are skipped."""
    training: Points = []
    validation: Points = []
    tokens, seconds = 0, 0.0
    for line in lines:
        if not line.strip():
            continue
        point = json.loads(line)
        step = float(point["step"])
        for points, value in ((training, point.get("loss")), (validation, point.get("validation_loss"))):
            if value is not None and value == value:
                points.append((step, float(value)))
        tokens, seconds = int(point.get("tokens") or tokens), float(point.get("seconds") or seconds)
    return Losses(training, validation, tokens, seconds)
