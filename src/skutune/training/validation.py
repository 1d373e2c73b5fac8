"""Validation loss during training, and the best weights so far."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skutune.training.collate import Collate
from skutune.training.loss import mean_loss
from skutune.training.metrics_callback import MetricsCallback
from skutune.training.trainer import AnswerTrainer


@dataclass(frozen=True, slots=True)
class Validation:
    """Computes the loss of held-out examples, all processes together.

    Weights that are better than all before are kept in the folder `best`, unless nothing can come after them; None:
    none are kept. `save` writes a model's weights into a folder, all processes together.
    """

    rows: Any
    collate: Collate
    batch_size: int
    curves: MetricsCallback
    best: Path | None
    save: Callable[[AnswerTrainer, Path], None]

    def __call__(self, trainer: AnswerTrainer) -> float:
        with self.curves.paused():
            loss, _ = mean_loss(
                trainer.model,
                self.rows,
                self.collate,
                self.batch_size,
                rank=trainer.args.process_index,
                processes=trainer.args.world_size,
                fused=trainer.is_fused,
            )
            state = trainer.state
            is_best = state.best_metric is None or loss < state.best_metric
            if self.best is not None and is_best and state.global_step < state.max_steps:
                # New files: those of the last best may be part of a checkpoint.
                shutil.rmtree(self.best, ignore_errors=True)
                self.save(trainer, self.best)
        return loss
