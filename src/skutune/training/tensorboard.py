"""Training curves as TensorBoard event files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from skutune.training.metrics_callback import StepMetrics

FILE = "events.out.tfevents.0.skutune"
_TAGS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "tokens_per_second": "train/tokens_per_second",
    "validation_loss": "validation/loss",
}


def write_events(points: Sequence[StepMetrics], folder: Path) -> None:
    """Write the points into one event file in a new folder.

    Made from the finished curves, so that a run that was killed and gone on with has one line and not pieces that
    overlap. Wall times are such that the last point is now.
    """
    from tensorboardX import SummaryWriter

    begun = time.time() - (points[-1].seconds if points else 0.0)
    with SummaryWriter(str(folder)) as writer:
        for point in points:
            for tag, value in _values(point):
                writer.add_scalar(tag, value, point.step, walltime=begun + point.seconds)
    (written,) = folder.iterdir()
    written.rename(folder / FILE)  # it was named by this machine and the time


def _values(point: StepMetrics) -> Iterator[tuple[str, float]]:
    """What a point tells; a validation has no speed."""
    shown = ("validation_loss",) if point.validation_loss is not None else tuple(_TAGS)
    for name in shown:
        value = getattr(point, name)
        if value is not None:
            yield _TAGS[name], value
