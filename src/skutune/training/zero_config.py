"""DeepSpeed ZeRO: sharding of optimizer state, gradients and weights over processes."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from typing import Any

import torch


def is_installed() -> bool:
    """Whether DeepSpeed is installed."""
    return importlib.util.find_spec("deepspeed") is not None


def quieten() -> None:
    """Silence DeepSpeed, which logs on stdout, before any library imports it, and what PyTorch says of its calls."""
    logging.getLogger("DeepSpeed").disabled = True
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)


def connect_on_cpu() -> None:
    """Connect the processes of a training on CPUs by gloo; left to itself, accelerate knows DeepSpeed on devices only.

    DeepSpeed would compile an operator of its own for it, and one compilation that is killed leaves a lock behind for
    which every later one waits.
    """
    from accelerate import PartialState
    from deepspeed import ops

    ops.__compatible_ops__["deepspeed_shm_comm"] = False
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    PartialState(backend="gloo")


def deepspeed_config(stage: int, numbers: torch.dtype) -> dict[str, Any]:
    """DeepSpeed's settings for a stage of ZeRO; what the trainer knows is left to it (`auto`).

    The optimizer stays PyTorch's, and nothing is put off to the host's memory: both would need operators of DeepSpeed's
    own, which must be compiled.
    """
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": numbers is torch.bfloat16},
        "fp16": {"enabled": numbers is torch.float16},
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": stage,
            "contiguous_gradients": True,
            "overlap_comm": torch.cuda.is_available(),
            "stage3_gather_16bit_weights_on_model_save": True,
        },
    }
