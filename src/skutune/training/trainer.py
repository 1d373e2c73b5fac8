"""TRL's trainer, with steps that do not depend on the number of devices.

Differences to TRL's trainer: an item of the loader is a whole optimizer step (step_sampler.py), the loss is weighted
and normalised by the weights of the whole step over all processes, and on a CPU the output layer is computed only for
tokens that carry loss, which TRL's fused head supports only with Triton.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch.utils.data import DataLoader
from transformers.trainer_utils import rotate_checkpoints
from trl import SFTTrainer

from skutune.errors import RetryableError
from skutune.training.disk_full import disk_full_as_retryable
from skutune.training.loss import summed_loss
from skutune.training.step_sampler import StepLoader


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains the steps of a `StepLoader`.

    Args:
        steps: the loader.
        validate: gives the validation loss, and keeps the weights where they are to be kept.
        arguments: those of TRL's trainer.
    """

    loss_is_scaled_for_ga = True
    """By the weight of the whole step, in `compute_loss`."""

    control: Any

    def __init__(self, *, steps: StepLoader, validate: Callable[[AnswerTrainer], float], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.steps, self.validate = steps, validate

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The steps; each process's loader knows its own share of them."""
        return self.steps

    def get_batch_samples(
        self, epoch_iterator: Iterator[list[dict[str, Any]]], num_batches: int, device: torch.device
    ) -> tuple[list[list[dict[str, Any]]], torch.Tensor]:
        """(the next step, the sum of its weights over all processes)."""
        step = next(epoch_iterator)
        weight = sum(float(batch["loss_weights"][:, 1:].sum()) for batch in step)
        tokens = sum(_tokens(batch) for batch in step)
        totals = self.accelerator.reduce(torch.tensor([weight, tokens], dtype=torch.float64, device=device), "sum")
        self.state.num_input_tokens_seen += int(totals[1])
        return [step], totals[0]

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch on the device; the weights exact, as they were summed, where DeepSpeed has numbers of 16 bits."""
        prepared: dict[str, Any] = super()._prepare_inputs(inputs)
        return {**prepared, "loss_weights": inputs["loss_weights"].to(self.args.device)}

    def training_step(
        self, model: Any, inputs: list[dict[str, Any]], num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """All passes of a step; gradients are exchanged in the last one. Returns the loss, shape ()."""
        loss = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(inputs, start=1):
            self.accelerator.gradient_state._set_sync_gradients(number == len(inputs))  # as the trainer's own loop does
            with self._exchange(model, number == len(inputs)):
                loss += super().training_step(model, batch, num_items_in_batch)
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Loss of a micro-batch as its share of the whole step's weighted mean, shape ().

        Gradients are averaged over processes, and the weights were summed over all of them.
        """
        loss = summed_loss(model, inputs, fused=self.is_fused)
        return loss / num_items_in_batch.to(loss.dtype) * self.accelerator.num_processes

    @property
    def trainable_parameters(self) -> int:
        """Weights that are trained, whole ones where processes hold pieces."""
        trained = (each for each in self.model.parameters() if each.requires_grad)
        return sum(getattr(each, "ds_numel", each.numel()) for each in trained)

    @property
    def is_fused(self) -> bool:
        """Whether the output layer is computed by TRL's fused head, which needs Triton to be faster."""
        return bool(self.args.device.type == "cuda")

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The validation loss, reported to the callbacks."""
        metrics = {"eval_loss": self.validate(self)}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """None are counted here: the trainer's count leaves out attention."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: a checkpoint is not published, and the card would name folders of this machine."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint and remove old ones, in each process its own.

        Raises RetryableError where the disk is full; the checkpoints before it stay.
        """
        folder, step = Path(self.args.output_dir), self.state.global_step
        try:
            with disk_full_as_retryable(f"the checkpoint of step {step}", folder):
                super()._save_checkpoint(model, trial)
        except RetryableError:
            shutil.rmtree(folder / f"checkpoint-{step}", ignore_errors=True)
            raise
        if not self.args.should_save:  # the trainer counts the checkpoints of who saves the weights alone
            rotate_checkpoints(str(folder), self.args.save_total_limit)

    def _exchange(self, model: Any, is_last: bool) -> AbstractContextManager[None]:
        """Gradients are synchronised once per step; DeepSpeed reads only this flag."""
        if is_last or self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            return nullcontext()
        context: AbstractContextManager[None] = self.accelerator.no_sync(model)
        return context


def _tokens(batch: dict[str, Any]) -> int:
    """Tokens of a batch without padding; none in one that trains nothing."""
    if not batch["loss_weights"].any():
        return 0
    return int(batch["attention_mask"].sum() if "attention_mask" in batch else batch["input_ids"].numel())
