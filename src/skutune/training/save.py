"""The result of a training: an adapter or a whole model, from the last step or the best."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skutune.training.models import save_model
from skutune.training.planning import Plan
from skutune.training.trainer import AnswerTrainer


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Writes a model's weights in the folder `best` while it is trained, and in `folder` at its end.

    All processes call it together, and the first one writes.
    """

    folder: Path
    best: Path
    tokenizer: Any
    base_name: str
    plan: Plan

    def save(self, trainer: AnswerTrainer, folder: Path) -> None:
        """Write the weights as they are."""
        split = self.plan.zero_stage == 3
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) if split else None
        if trainer.accelerator.is_main_process:
            model = trainer.accelerator.unwrap_model(trainer.model)
            save_model(model, self.tokenizer, folder, self.base_name, self.plan.numbers, weights)

    def finish(self, trainer: AnswerTrainer) -> int:
        """Write the result; returns the step whose weights it holds: the best where that was asked for, or the last."""
        best_step = trainer.state.best_global_step
        if best_step and best_step < trainer.state.global_step:
            if trainer.accelerator.is_main_process:
                shutil.move(self.best, self.folder)
            return int(best_step)
        self.save(trainer, self.folder)
        return int(trainer.state.global_step)
