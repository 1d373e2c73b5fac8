"""Training curves: one JSON line per optimizer step and per validation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from skutune.errors import InputError
from skutune.training.checkpoints import complete_checkpoint


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One point of the curves.

    `tokens` counts all tokens trained so far without padding, `tokens_per_second` those since the point before,
    `seconds` the time spent training up to here, earlier attempts included. Losses are in nats a token of the answers;
    `loss` is None where a validation was, `validation_loss` everywhere else.
    """

    step: int
    epoch: float
    loss: float | None
    learning_rate: float | None
    tokens: int
    tokens_per_second: float
    seconds: float
    validation_loss: float | None = None


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Writes points to a file, marks checkpoints complete, and stops a run on a NaN loss.

    Args:
        path: the file of JSON lines; a resumed run keeps its lines up to the step that it resumes from.
        resumed_step: that step, 0 for a new run.
        on_step: called with every point.
        on_checkpoint: called with the folder of every whole checkpoint.
        kept: files and folders that belong into checkpoints where they exist, besides the curves.
        has_scaler: gradients of 16 bits are scaled, and may be infinite until the scale is found.
    """

    def __init__(
        self,
        path: Path,
        resumed_step: int,
        on_step: Callable[[StepMetrics], None],
        on_checkpoint: Callable[[Path], None] | None,
        kept: Sequence[Path],
        has_scaler: bool = False,
    ) -> None:
        self.path, self.on_step, self.on_checkpoint = path, on_step, on_checkpoint
        self.kept, self.has_scaler = kept, has_scaler
        self.points = [point for point in read_points(path) if point.step <= resumed_step] if resumed_step else []
        path.write_text("".join(_line(point) for point in self.points), encoding="utf-8")
        last = self.points[-1] if self.points else None
        self.tokens, self.seconds = (last.tokens, last.seconds) if last else (0, 0.0)
        self.started = self.previous = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock once everything is loaded."""
        self.started = self.previous = time.monotonic()
        self.tokens = state.num_input_tokens_seen

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write the point of a step or a validation. Raises InputError if the loss is NaN or infinite."""
        if logs is None or not ("loss" in logs or "eval_loss" in logs):
            return
        if "eval_loss" in logs:
            self._add(state, validation_loss=float(logs["eval_loss"]))
            return
        gradient = 0.0 if self.has_scaler else float(logs.get("grad_norm") or 0.0)
        if not (math.isfinite(logs["loss"]) and math.isfinite(gradient)):
            raise InputError(
                f"training: the loss of step {state.global_step} is {logs['loss']} (gradient {logs.get('grad_norm')}); "
                "curves and checkpoints up to the previous step are kept. Lower stages.finetune.learning_rate, or set "
                "models.base.dtype to bfloat16 or float32"
            )
        self._add(state, loss=float(logs["loss"]), learning_rate=float(logs["learning_rate"]))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time of the block is not training."""
        before = time.monotonic()
        yield
        spent = time.monotonic() - before
        self.started += spent
        self.previous += spent

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add to the checkpoint what else a resumed run needs, and mark it complete."""
        checkpoint = complete_checkpoint(Path(args.output_dir), state.global_step, [self.path, *self.kept])
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
    """The points of a run's file; a truncated last line is skipped."""
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    return [StepMetrics(**json.loads(line)) for line in whole]


def _line(point: StepMetrics) -> str:
    return json.dumps(asdict(point)) + "\n"
