"""The settings of TRL's trainer for a plan."""

from __future__ import annotations

from pathlib import Path

import torch
from trl import SFTConfig

from skutune.config.schema import FinetuneConfig
from skutune.training import zero_config
from skutune.training.models import device
from skutune.training.planning import Plan

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def trainer_arguments(config: FinetuneConfig, plan: Plan, output: Path, *, has_validation: bool) -> SFTConfig:
    """The trainer's settings. Creating them connects the distributed processes.

    They must be created before the model is loaded: ZeRO stage 3 shards it during loading.
    """
    on_gpu = device().type == "cuda"
    on_cpu_with_zero = bool(plan.zero_stage) and not on_gpu
    if on_cpu_with_zero:
        zero_config.connect_on_cpu()
    arguments = SFTConfig(
        output_dir=str(output / "checkpoints"),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type=_SCHEDULES[config.schedule],
        warmup_steps=min(config.warmup_ratio, 0.999),  # below 1 it is a share of the steps
        # The loader decides what a step contains; DeepSpeed needs the largest micro-batch.
        per_device_train_batch_size=plan.rows,
        gradient_accumulation_steps=1,
        ddp_find_unused_parameters=False,
        deepspeed=zero_config.deepspeed_config(plan.zero_stage, plan.numbers) if plan.zero_stage else None,
        gradient_checkpointing=plan.checkpointing,
        use_liger_kernel=plan.liger,
        liger_kernel_config={"fused_linear_cross_entropy": False, "cross_entropy": False} if plan.liger else None,
        bf16=plan.numbers is torch.bfloat16,
        fp16=plan.numbers is torch.float16,
        use_cpu=not on_gpu and not plan.zero_stage,  # accelerate uses DeepSpeed only where no CPU is asked for
        accelerator_config={"use_configured_state": on_cpu_with_zero},
        dataloader_pin_memory=on_gpu,
        max_length=config.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=config.seed,
        data_seed=config.seed,
        eval_strategy="steps" if has_validation else "no",
        eval_steps=config.evaluate_steps or 1,  # an epoch's steps are counted later
        metric_for_best_model="eval_loss" if has_validation and config.patience else None,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=bool(has_validation and config.patience),
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )
    # One device per process: with several devices the trainer would use data parallelism, which TRL refuses.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
