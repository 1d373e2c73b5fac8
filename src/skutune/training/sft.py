"""Supervised fine-tuning: setup → data → model → fit → save.

Runs on one process, or on several that were told of each other (see `ranks`): each trains its share of every step, the
first saves; each writes into a folder of its own. TRL's trainer does the stepping, PEFT the adapter. Three things
differ from TRL's own defaults, to save work on a CPU: no gradient checkpointing there, the output layer only for tokens
that carry loss, and micro-batches of like length.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate import PartialState
from torch.utils.data import Sampler
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from skutune.config import FinetuneConfig
from skutune.training.batches import micro_batches
from skutune.training.checkpoints import newest_checkpoint, step_of
from skutune.training.curves import Curves, StepMetrics
from skutune.training.examples import Examples, load_examples
from skutune.training.loss import mean_loss, summed_loss
from skutune.training.models import device, number_format, save_model, trainable_model
from skutune.training.order import StepOrder
from skutune.training.sharing import folder_of_first
from skutune.training.tokens import fitting_length, load_tokenizer

MAX_VALIDATION = 512
"""Validation examples used at most: enough for a curve, little beside an epoch."""


@dataclass(frozen=True, slots=True)
class FinetuneFigures:
    """What a fine-tuning did, ready for JSON.

    `model` is the folder of the adapter (or of the whole model) relative to the output. `cut` examples lost the end of
    their answer to `max_length`, `left_out` had no room for any. `tokens` are without padding; `seconds` are training
    alone. `first_loss` and `last_loss` are means over the first and last tenth of the steps, in nats a token.
    """

    model: str
    method: str
    dtype: str
    examples: int
    cut: int
    left_out: int
    steps: int
    epochs: float
    tokens: int
    seconds: float
    tokens_per_second: float
    trainable_parameters: int
    first_loss: float
    last_loss: float
    validation_examples: int
    validation_losses: list[float]
    resumed_from_step: int | None


def finetune(
    base: Path,
    train: Path,
    validation: Path | None,
    config: FinetuneConfig,
    output: Path,
    *,
    base_name: str,
    dtype: str,
    resume: Path | None,
    on_step: Callable[[StepMetrics], None],
    on_checkpoint: Callable[[Path], None] | None = None,
) -> FinetuneFigures:
    """Fine-tune `base` on chat examples and write adapter, curves and checkpoints under `output`.

    Args:
        base: folder of the base model.
        train: JSON lines in the chat format (see `examples`).
        validation: more of them, for the loss at each epoch's end; None or an empty file: no such loss.
        config: the stage's settings.
        output: gets `adapter/` (or `model/`), `metrics.jsonl`, `checkpoints/`.
        base_name: what the adapter says its base model is.
        dtype: auto, bfloat16, float16 or float32.
        resume: a folder of checkpoints; the newest whole one is gone on from, none is a fresh start.
        on_step: called with every point of the curves.
        on_checkpoint: called with every whole checkpoint's folder.

    Raises:
        InputError: the base model, the examples or the settings cannot be used.
        SkutuneError: the loss is no longer a number; curves and checkpoints stay.
    """
    _setup(output, config)
    tokenizer = load_tokenizer(base)
    numbers = number_format(dtype)
    max_length = fitting_length(base, config.max_length)
    cache, waits = folder_of_first(output / "encoded"), not PartialState().is_local_main_process
    examples = load_examples(train, tokenizer, max_length, cache, waits=waits)
    held_out = _validation(validation, tokenizer, max_length, cache, waits)
    collate = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)

    model = trainable_model(base, config, numbers)
    checkpoint = newest_checkpoint(resume) if resume else None

    def validate(model: Any) -> float | None:
        return mean_loss(model, held_out.rows, collate, config.micro_batch_size)[0] if held_out else None

    resumed = step_of(checkpoint) if checkpoint else 0
    curves = Curves(output / "metrics.jsonl", resumed, on_step, on_checkpoint, validate)
    trainer = _trainer(model, tokenizer, collate, examples, curves, _arguments(config, output, numbers))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    folder = output / ("adapter" if config.method == "lora" else "model")
    trained = trainer.accelerator.unwrap_model(trainer.model)
    figures = _figures(trainer, curves, examples, held_out, config, checkpoint, folder.name, numbers)
    if PartialState().is_main_process:
        save_model(trained, tokenizer, folder, base_name, numbers)
    if not waits:
        shutil.rmtree(cache)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return figures


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with the order of `StepOrder`, and on a CPU with the loss of `summed_loss`.

    TRL's own fused loss skips tokens without a label only on devices that have Triton.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.accelerator.num_processes
        return StepOrder(self.lengths, step, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Loss of a micro-batch as its share of the whole step's mean."""
        if self.args.device.type != "cpu" or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        tokens = num_items_in_batch if num_items_in_batch is not None else (inputs["labels"][:, 1:] >= 0).sum()
        # Gradients are averaged over processes, and the tokens were counted over all of them.
        return summed_loss(model, inputs) / torch.as_tensor(tokens).clamp(min=1) * self.accelerator.num_processes

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: a checkpoint is not published, and the card would name folders of this machine."""


def _setup(output: Path, config: FinetuneConfig) -> None:
    """Silence progress bars, which would end up among the results, and fix the random numbers."""
    # The first to ask sets up the processes' connection; on a CPU only where it is told that there is no GPU.
    micro_batches(config, PartialState(cpu=device().type == "cpu").num_processes)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.set_seed(config.seed)
    output.mkdir(parents=True, exist_ok=True)


def _validation(path: Path | None, tokenizer: Any, max_length: int, cache: Path, waits: bool) -> Examples | None:
    if path is None or path.stat().st_size == 0:
        return None
    return load_examples(path, tokenizer, max_length, cache, limit=MAX_VALIDATION, waits=waits)


def _arguments(config: FinetuneConfig, output: Path, numbers: torch.dtype) -> SFTConfig:
    micro, passes = micro_batches(config, PartialState().num_processes)
    on_gpu = device().type == "cuda"
    return SFTConfig(
        output_dir=str(output / "checkpoints"),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(config.warmup_ratio, 0.999),  # below 1 it is a share of the steps
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=passes,
        ddp_find_unused_parameters=False,
        # Saves the memory of activations, which a GPU has too little of, for a second forward pass.
        gradient_checkpointing=on_gpu,
        bf16=numbers is torch.bfloat16,
        fp16=numbers is torch.float16,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        max_length=config.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=config.seed,
        data_seed=config.seed,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        report_to="none",
        disable_tqdm=True,
    )


def _trainer(
    model: Any, tokenizer: Any, collate: Any, examples: Examples, curves: Curves, arguments: SFTConfig
) -> AnswerTrainer:
    trainer = AnswerTrainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=examples.rows,
        processing_class=tokenizer,
        callbacks=[curves],
    )
    trainer.lengths = examples.lengths
    trainer.remove_callback(transformers.PrinterCallback)  # prints to stdout, where results belong
    return trainer


def _figures(
    trainer: AnswerTrainer,
    curves: Curves,
    examples: Examples,
    held_out: Examples | None,
    config: FinetuneConfig,
    checkpoint: Path | None,
    model: str,
    numbers: torch.dtype,
) -> FinetuneFigures:
    losses = [point.loss for point in curves.points if point.loss is not None]
    tenth = max(1, len(losses) // 10)
    last = curves.points[-1]
    return FinetuneFigures(
        model=model,
        method=config.method,
        dtype=str(numbers).removeprefix("torch."),
        examples=len(examples.rows),
        cut=examples.cut,
        left_out=examples.left_out,
        steps=trainer.state.global_step,
        epochs=config.epochs,
        tokens=last.tokens,
        seconds=last.seconds,
        tokens_per_second=round(last.tokens / max(last.seconds, 1e-9), 1),
        trainable_parameters=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        first_loss=sum(losses[:tenth]) / tenth,
        last_loss=sum(losses[-tenth:]) / tenth,
        validation_examples=len(held_out.rows) if held_out else 0,
        validation_losses=[point.validation_loss for point in curves.points if point.validation_loss is not None],
        resumed_from_step=step_of(checkpoint) if checkpoint else None,
    )
