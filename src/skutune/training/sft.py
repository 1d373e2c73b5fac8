"""Supervised fine-tuning: plan → data → model → fit → save.

Runs in one process, or in several that `process.launcher` or torchrun started: each trains its share of every step,
rank 0 saves, and each writes into its own folder. TRL's trainer runs the steps, PEFT adds the adapter, DeepSpeed shards
what does not fit; `trainer` describes what differs from TRL's defaults.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import EarlyStoppingCallback
from trl import SFTConfig

from skutune.config.schema import FinetuneConfig
from skutune.errors import RetryableError
from skutune.process.accelerators import is_out_of_memory
from skutune.training import zero_config
from skutune.training.arguments import trainer_arguments
from skutune.training.checkpoints import (
    check_split,
    newest_checkpoint,
    restore_side_files,
    split_of,
    step_of,
    write_split,
)
from skutune.training.collate import Collate
from skutune.training.disk_full import disk_full_as_retryable
from skutune.training.examples import Examples, load_examples
from skutune.training.metrics import FinetuneMetrics, collect_metrics
from skutune.training.metrics_callback import MetricsCallback, StepMetrics
from skutune.training.models import check_method, trainable_model
from skutune.training.planning import Plan, choose_plan
from skutune.training.save import SavedModel
from skutune.training.shared_folder import folder_of_first
from skutune.training.step_sampler import StepLoader, StepOrder
from skutune.training.tokens import fitting_length, load_tokenizer
from skutune.training.trainer import AnswerTrainer
from skutune.training.validation import Validation

MAX_VALIDATION = 512
"""Validation examples used at most: enough for a curve, little beside an epoch."""

_BEST, _METRICS = "best", "metrics.jsonl"
_log = logging.getLogger(__name__)


class MemoryExhaustedError(Exception):
    """A device ran out of memory with a micro-batch of `examples`.

    `checkpointing`: although gradient checkpointing was on.
    """

    def __init__(self, examples: int, checkpointing: bool) -> None:
        super().__init__(f"out of memory with a micro-batch of {examples} examples")
        self.examples, self.checkpointing = examples, checkpointing


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
    checkpointing: bool = False,
    on_step: Callable[[StepMetrics], None],
    on_checkpoint: Callable[[Path], None] | None = None,
    on_trained: Callable[[], None] = lambda: None,
    processes: int = 1,
    processes_here: int = 1,
) -> FinetuneMetrics:
    """Fine-tune `base` on chat examples and write adapter, curves and checkpoints under `output`.

    Args:
        base: folder of the base model.
        train: JSON lines in the chat format (see `examples`).
        validation: more of them, for the validation loss; None or an empty file: no such loss.
        config: the stage's settings.
        output: gets `adapter/` (or `model/`), `metrics.jsonl`, `checkpoints/`.
        base_name: what the adapter says its base model is.
        dtype: auto, bfloat16, float16 or float32.
        resume: a folder of checkpoints; training resumes from the latest complete one, or starts over without one.
        checkpointing: use gradient checkpointing whatever the memory estimates say.
        on_step: called with every point of the curves.
        on_checkpoint: called with every whole checkpoint's folder, in each process with its own.
        on_trained: called in each process when all is trained and written, while the others are still there.
        processes: that train together, on all machines.
        processes_here: of these on this machine.

    Raises:
        InputError: the base model, the examples or the settings cannot be used, the checkpoint is of a training that
            had another sharding, or the loss is NaN; curves and checkpoints stay.
        RetryableError: the disk is full, or the processes found different checkpoints.
        MemoryExhaustedError: a smaller micro-batch, or `checkpointing`, may fit.
    """
    check_method(config)
    _setup(config, output)
    checkpoint = newest_checkpoint(resume) if resume else None
    length, begun = fitting_length(base, config.max_length), split_of(checkpoint) if checkpoint else None
    plan = choose_plan(base, config, length, dtype, processes, processes_here, begun, checkpointing)
    has_validation = validation is not None and validation.stat().st_size > 0
    arguments = trainer_arguments(config, plan, output, has_validation=has_validation)
    _restore(checkpoint, plan, output)

    with disk_full_as_retryable("the encoded examples", output):
        data = _load(train, validation if has_validation else None, load_tokenizer(base), config, plan, output)
    curves = MetricsCallback(
        output / _METRICS,
        step_of(checkpoint) if checkpoint else 0,
        on_step,
        on_checkpoint,
        kept=[output / _BEST, write_split(output, plan.split)],
        has_scaler=plan.numbers is torch.float16,
    )
    folder = output / ("adapter" if config.trains_adapter else "model")
    result = SavedModel(folder, output / _BEST, data.tokenizer, base_name, plan)
    model = trainable_model(base, config, plan.numbers, split=plan.zero_stage > 0, packed=plan.packed)
    trainer = _trainer(model, data, config, plan, arguments, curves, result)
    with disk_full_as_retryable("curves, checkpoints and weights", output):
        _fit(trainer, checkpoint, plan)
        kept_step = result.finish(trainer)

    figures = collect_metrics(
        trainer,
        curves,
        data.examples,
        data.held_out,
        config,
        plan,
        model=folder.name,
        kept_step=kept_step,
        resumed_from_step=step_of(checkpoint) if checkpoint else None,
    )
    on_trained()
    PartialState().wait_for_everyone()
    if PartialState().is_local_main_process:
        shutil.rmtree(data.cache)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return figures


@dataclass(frozen=True, slots=True)
class _Data:
    """The encoded examples, and the folder that the processes of this machine share them in."""

    tokenizer: Any
    examples: Examples
    held_out: Examples | None
    cache: Path


def _setup(config: FinetuneConfig, output: Path) -> None:
    """Silence the progress bars and messages of libraries, and seed the random number generators."""
    zero_config.quieten()
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.set_seed(config.seed)
    output.mkdir(parents=True, exist_ok=True)


def _restore(checkpoint: Path | None, plan: Plan, output: Path) -> None:
    """Check that all processes resume from the same checkpoint, and restore its side files."""
    if plan.processes > 1 and len(set(gather_object([(checkpoint and checkpoint.name, plan)]))) > 1:
        raise RetryableError(
            "training: the processes found different checkpoints in the store, or unequal devices; start them again on "
            "equal ones"
        )
    if checkpoint is None:
        return
    check_split(checkpoint, plan.split)
    restore_side_files(checkpoint, output)
    if not PartialState().is_main_process:
        shutil.rmtree(output / _BEST, ignore_errors=True)  # the first's to keep: others would put it again


def _load(
    train: Path, validation: Path | None, tokenizer: Any, config: FinetuneConfig, plan: Plan, output: Path
) -> _Data:
    cache, waits = folder_of_first(output / "encoded"), not PartialState().is_local_main_process

    def load(path: Path, limit: int | None) -> Examples:
        return load_examples(
            path, tokenizer, plan.max_length, cache, reference_weight=config.reference_weight, limit=limit, waits=waits
        )

    return _Data(tokenizer, load(train, None), load(validation, MAX_VALIDATION) if validation else None, cache)


def _trainer(
    model: Any,
    data: _Data,
    config: FinetuneConfig,
    plan: Plan,
    arguments: SFTConfig,
    curves: MetricsCallback,
    result: SavedModel,
) -> AnswerTrainer:
    order = StepOrder(
        data.examples.lengths.tolist(),
        config.batch_size,
        config.seed,
        rank=arguments.process_index,
        processes=plan.processes,
        rows=plan.rows,
        max_tokens=plan.max_tokens,
    )
    collate = Collate(data.tokenizer.pad_token_id, plan.packed)
    held_out = data.held_out.rows if data.held_out else None
    keep = result.best if config.patience else None
    arguments.eval_steps = config.evaluate_steps or len(order)
    trainer = AnswerTrainer(
        steps=StepLoader(data.examples.rows, order, collate, pin_memory=arguments.dataloader_pin_memory),
        validate=Validation(held_out, Collate(data.tokenizer.pad_token_id), plan.rows, curves, keep, result.save),
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=data.examples.rows,
        eval_dataset=held_out,
        processing_class=data.tokenizer,
        callbacks=[curves],
    )
    if config.method == "qlora":  # TRL has made the adapter one of 16 bits, to which small updates add nothing
        for weight in trainer.model.parameters():
            weight.data = weight.data.float() if weight.requires_grad else weight.data
    trainer.remove_callback(transformers.PrinterCallback)  # prints to stdout, where results belong
    if config.patience and held_out is not None:
        trainer.add_callback(EarlyStoppingCallback(config.patience))
    elif config.patience:
        _log.warning("stages.finetune.patience: there are no validation examples, so early stopping is off")
    return trainer


def _fit(trainer: AnswerTrainer, checkpoint: Path | None, plan: Plan) -> None:
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryExhaustedError(plan.rows, plan.checkpointing) from error
