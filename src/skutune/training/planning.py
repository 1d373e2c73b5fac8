"""Chooses the plan of a training from the settings, the model's size and the devices."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from skutune.config.schema import FinetuneConfig
from skutune.process.number_format import number_format
from skutune.training import memory, zero_config
from skutune.training.checkpoints import Split
from skutune.training.models import device

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a training.

    The micro-batch of a device is `rows` examples, or `rows * max_length` tokens with packing. `liger`: replace the
    model's kernels by those of Liger.
    """

    processes: int
    rows: int
    max_length: int
    packed: bool
    zero_stage: memory.Stage
    checkpointing: bool
    liger: bool
    numbers: torch.dtype

    @property
    def max_tokens(self) -> int | None:
        """Maximum number of tokens of a packed row; None without packing."""
        return self.rows * self.max_length if self.packed else None

    @property
    def split(self) -> Split:
        """The sharding of its checkpoints."""
        return Split(self.processes, self.zero_stage)

    def figures(self) -> dict[str, Any]:
        """The plan as JSON-serialisable metrics."""
        return {
            "processes": self.processes,
            "micro_batch_size": self.rows,
            "max_length": self.max_length,
            "packed": self.packed,
            "zero_stage": self.zero_stage,
            "gradient_checkpointing": self.checkpointing,
            "liger_kernels": self.liger,
        }


def choose_plan(
    base: Path,
    config: FinetuneConfig,
    max_length: int,
    dtype: str,
    processes: int,
    processes_here: int,
    begun: Split | None = None,
    checkpointing: bool = False,
) -> Plan:
    """Choose the plan, and log fallbacks.

    Args:
        base: folder of the base model.
        config: the stage's settings.
        max_length: maximum length of an example in tokens.
        dtype: auto, bfloat16, float16 or float32.
        processes: that train together, on all machines.
        processes_here: those on this machine.
        begun: sharding of the checkpoint to resume from, whose ZeRO stage must be kept even if a smaller micro-batch
            would fit with another one.
        checkpointing: use gradient checkpointing in any case.
    """
    on_gpu = device().type == "cuda"
    numbers = number_format(dtype)
    fit = memory.fit(
        memory.shape_of(base, config.lora_rank),
        config.method,
        rows=min(config.micro_batch_size, -(-config.batch_size // processes)),
        length=max_length,
        number_bytes=numbers.itemsize,
        processes=processes,
        device_bytes=memory.device_bytes(processes_here),
        has_zero=zero_config.is_installed(),
        begun_stage=_stage_of(begun, processes),
        checkpointing=checkpointing,
    )
    packed = config.packing and has_flash_attention(numbers)
    if config.packing and not packed:
        log = _log.warning if on_gpu else _log.info  # flash attention is not available for CPUs
        log("training without packing: it needs a flash attention kernel, which is not installed")
    if config.method == "full" and processes > 1 and not zero_config.is_installed():
        _log.warning("training without ZeRO: deepspeed is not installed, so every device has the whole optimizer state")
    if on_gpu and not has_compiler():
        _log.warning(
            "training on a GPU: no C compiler (gcc, clang or cc) is installed, and Triton needs one for its kernels; "
            "install one, or use an image that has it"
        )
    liger = on_gpu and has_liger()
    return Plan(processes, fit.rows, max_length, packed, fit.zero_stage, fit.checkpointing, liger, numbers)


def _stage_of(begun: Split | None, processes: int) -> memory.Stage | None:
    """The ZeRO stage that a checkpoint needs; None if it needs none or it cannot be read here (reported later)."""
    if begun is None:
        return None
    if begun.zero_stage == 0:
        return 0  # which any number of processes reads
    return begun.zero_stage if begun.processes == processes and zero_config.is_installed() else None


def has_flash_attention(numbers: torch.dtype) -> bool:
    """Whether flash attention, which separates packed examples without a mask, supports device and number format."""
    from transformers.utils import is_flash_attn_2_available

    return torch.cuda.is_available() and numbers.itemsize == 2 and bool(is_flash_attn_2_available())


def has_compiler() -> bool:
    """Whether there is a C compiler, which Triton needs to build kernel launchers."""
    return any(shutil.which(name) for name in ("gcc", "clang", "cc"))


def has_liger() -> bool:
    """Whether Liger's kernels are installed."""
    from transformers.utils import is_liger_kernel_available

    return bool(is_liger_kernel_available())
