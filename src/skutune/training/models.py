"""The base model in memory, and what of it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from skutune.config import FinetuneConfig
from skutune.errors import InputError
from skutune.pulse import slow

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def number_format(dtype: str) -> torch.dtype:
    """The torch type that a config's `dtype` means here; `auto` is the fastest that this device computes itself."""
    if dtype != "auto":
        return _DTYPES[dtype]
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """A causal language model with its weights in `dtype`, on the CPU. Raises InputError."""
    from transformers import AutoModelForCausalLM

    try:
        with slow():
            return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"base model {folder}: cannot be loaded: {error}") from error


def load_tuned(folder: Path, adapter: Path, dtype: torch.dtype) -> Any:
    """The base model with an adapter on it (a `peft.PeftModel`), on the CPU. Raises InputError."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(load_model(folder, dtype), adapter, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"adapter {adapter}: does not fit base model {folder}: {error}") from error


def trainable_model(folder: Path, config: FinetuneConfig, dtype: torch.dtype) -> Any:
    """The model as it is trained: frozen with float32 LoRA matrices on every linear layer, or whole in float32.

    Whole weights are kept in float32 because an update of AdamW is smaller than what 16 bits can add to them; the
    arithmetic still runs in `dtype` by autocast. Attention and MLP both get adapters, as in QLoRA (arXiv:2305.14314,
    section 4), where attention alone did not reach full fine-tuning.
    """
    if config.method == "full":
        return load_model(folder, torch.float32)
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(load_model(folder, dtype), lora)


def save_model(model: Any, tokenizer: Any, folder: Path, base_name: str, dtype: torch.dtype) -> None:
    """Write the adapter (with `base_name` as its base model) or the whole model in `dtype`, and the tokenizer."""
    from peft import PeftModel

    if isinstance(model, PeftModel):
        model.peft_config["default"].base_model_name_or_path = base_name
        # Left to itself PEFT asks the hub whether the vocabulary of a model of this name has grown.
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
