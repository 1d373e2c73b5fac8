"""The curves of a training run: one JSON line an optimizer step, and one with the validation loss an epoch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from skutune.errors import SkutuneError
from skutune.training.checkpoints import mark_complete


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One point of the curves.

    `tokens` counts all tokens trained so far without padding, `tokens_per_second` those since the point before,
    `seconds` the time spent training up to here, earlier attempts included. Losses are in nats a token of the answers;
    `loss` is None at an epoch's end, `validation_loss` everywhere else.
    """

    step: int
    epoch: float
    loss: float | None
    learning_rate: float | None
    tokens: int
    tokens_per_second: float
    seconds: float
    validation_loss: float | None = None


class Curves(TrainerCallback):  # type: ignore[misc]
    """Writes points to a file as they come, marks checkpoints complete, and stops a run whose loss is no number.

    Args:
        path: the file of JSON lines; a resumed run keeps its lines up to the step it goes on from.
        resumed_step: that step, 0 for a new run.
        on_step: called with every point.
        on_checkpoint: called with the folder of every whole checkpoint.
        validate: gives the validation loss of the model, or None without validation examples.
    """

    def __init__(
        self,
        path: Path,
        resumed_step: int,
        on_step: Callable[[StepMetrics], None],
        on_checkpoint: Callable[[Path], None] | None,
        validate: Callable[[Any], float | None],
    ) -> None:
        self.path, self.on_step, self.on_checkpoint, self.validate = path, on_step, on_checkpoint, validate
        self.points = [point for point in read_points(path) if point.step <= resumed_step] if resumed_step else []
        path.write_text("".join(_line(point) for point in self.points), encoding="utf-8")
        last = self.points[-1] if self.points else None
        self.tokens, self.seconds = (last.tokens, last.seconds) if last else (0, 0.0)
        self.started = self.previous = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock after everything is loaded."""
        self.started = self.previous = time.monotonic()
        self.tokens = state.num_input_tokens_seen

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write the point of a step. Raises SkutuneError for a loss or gradient that is not finite."""
        if logs is None or "loss" not in logs:
            return
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs.get("grad_norm") or 0.0)):
            raise SkutuneError(
                f"training: the loss of step {state.global_step} is {logs['loss']} (gradient {logs.get('grad_norm')}); "
                f"curves and checkpoints up to the step before are kept in {self.path.parent}. Lower "
                "stages.finetune.learning_rate, or set models.base.dtype to bfloat16 or float32"
            )
        self._add(state, loss=float(logs["loss"]), learning_rate=float(logs["learning_rate"]))

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Write the validation loss. The time it takes is not training."""
        before = time.monotonic()
        loss = self.validate(model)
        spent = time.monotonic() - before
        self.started += spent
        self.previous += spent
        if loss is not None:
            self._add(state, validation_loss=loss)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint that was just written."""
        checkpoint = mark_complete(Path(args.output_dir), state.global_step)
        if self.on_checkpoint:
            self.on_checkpoint(checkpoint)

    def _add(
        self,
        state: Any,
        loss: float | None = None,
        learning_rate: float | None = None,
        validation_loss: float | None = None,
    ) -> None:
        now, tokens = time.monotonic(), int(state.num_input_tokens_seen)
        point = StepMetrics(
            step=state.global_step,
            epoch=round(float(state.epoch or 0), 4),
            loss=loss,
            learning_rate=learning_rate,
            tokens=tokens,
            tokens_per_second=round((tokens - self.tokens) / max(now - self.previous, 1e-9), 1),
            seconds=round(self.seconds + now - self.started, 3),
            validation_loss=validation_loss,
        )
        self.tokens, self.previous = tokens, now
        self.points.append(point)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(point))
        self.on_step(point)


def read_points(path: Path) -> list[StepMetrics]:
    """The points of a file that a run wrote; a last line that was cut by a kill is left out."""
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    return [StepMetrics(**json.loads(line)) for line in whole]


def _line(point: StepMetrics) -> str:
    return json.dumps(asdict(point)) + "\n"
