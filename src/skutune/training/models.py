"""The base model in memory, and which of its weights are trained."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from skutune.config.schema import FinetuneConfig
from skutune.engines.chat import stop_tokens
from skutune.errors import InputError
from skutune.process.watchdog import extended
from skutune.prompts.chat_template import with_settings
from skutune.training.adapters import check_base


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """What the device calls itself, as in "NVIDIA H100 80GB HBM3"; "cpu" without a GPU."""
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu"


def load_model(folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """A causal language model with its weights in `dtype`; on the CPU, unless `options` say else. Raises InputError."""
    from transformers import AutoModelForCausalLM

    try:
        with extended():
            return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"base model {folder}: cannot be loaded: {error}") from error


def load_tuned(folder: Path, adapter: Path, dtype: torch.dtype) -> Any:
    """The base model with an adapter on it (a `peft.PeftModel`), on the CPU. Raises InputError."""
    from peft import PeftModel

    check_base(adapter, folder)
    try:
        return PeftModel.from_pretrained(load_model(folder, dtype), adapter, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"adapter {adapter}: does not fit base model {folder}: {error}") from error


def check_method(config: FinetuneConfig) -> None:
    """Check that this machine supports the method, before anything is loaded.

    Raises:
        InputError: it has no CUDA device, or no bitsandbytes, for weights of 4 bits.
    """
    if config.method != "qlora":
        return
    if not torch.cuda.is_available():
        raise InputError("stages.finetune.method: qlora needs a CUDA device, but there is none; use lora")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            "stages.finetune.method: qlora needs bitsandbytes, which is not installed; install 'skutune[gpu]', or "
            "choose lora"
        )


def trainable_model(folder: Path, config: FinetuneConfig, dtype: torch.dtype, *, split: bool, packed: bool) -> Any:
    """The model as it is trained: frozen with float32 LoRA matrices on every linear layer, or whole.

    Attention and MLP both get adapters, as in QLoRA (arXiv:2305.14314, section 4), where attention alone did not reach
    full fine-tuning. Whole weights are kept in float32, because an update of AdamW is smaller than what 16 bits can
    add to them; the arithmetic still runs in `dtype` by autocast.

    Args:
        folder: of the base model.
        config: the stage's settings.
        dtype: of the arithmetic, and of frozen weights.
        split: DeepSpeed trains; it keeps weights of 32 bits of its own, and wants all of a model in one type.
        packed: examples lie one behind the other, which on a GPU only flash attention tells apart.
    """
    attention: dict[str, Any] = (
        {"attn_implementation": "flash_attention_2"} if packed and torch.cuda.is_available() else {}
    )
    if config.method == "full":
        return load_model(folder, dtype if split else torch.float32, **attention)
    if config.method == "qlora":
        attention["quantization_config"] = _four_bits(dtype)
        attention["device_map"] = {"": torch.cuda.current_device()}
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    model = load_model(folder, dtype, **attention)
    if config.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, lora, autocast_adapter_dtype=not split)


def save_model(
    model: Any, tokenizer: Any, folder: Path, base_name: str, dtype: torch.dtype, weights: Any = None
) -> None:
    """Write the adapter (with `base_name` as its base model) or the whole model in `dtype`, and the tokenizer.

    The tokenizer's chat template keeps the settings that it was trained with.

    `weights` are the model's, gathered from all processes, where each holds only a piece of them. The model stays as
    it is.
    """
    from peft import PeftModel

    if isinstance(model, PeftModel):
        # Left to itself PEFT asks the hub whether the vocabulary of a model of this name has grown.
        model.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
        _note(folder / "adapter_config.json", base_model_name_or_path=base_name)
    else:
        stop_at_turn_end(model, tokenizer)
        model.save_pretrained(folder, state_dict=_converted(weights or model.state_dict(), dtype))
        # The config tells the type of the model in memory; the weights were written in another.
        _note(folder / "config.json", dtype=str(dtype).removeprefix("torch."))
    served = copy.copy(tokenizer)
    served.chat_template = with_settings(tokenizer.chat_template)
    served.save_pretrained(folder)


def stop_at_turn_end(model: Any, tokenizer: Any) -> None:
    """Add the tokenizer's end token to the stop tokens of the model's generation config, which servers read."""
    stops = sorted(stop_tokens(tokenizer, model.generation_config))
    model.generation_config.eos_token_id = stops[0] if len(stops) == 1 else stops


def _four_bits(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _converted(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights in another type; what two layers share stays shared, and is written once."""
    converted: dict[int, torch.Tensor] = {}
    return {name: converted.setdefault(each.data_ptr(), each.to(dtype)) for name, each in weights.items()}


def _note(config: Path, **values: str) -> None:
    """Change values of a JSON file."""
    document = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**document, **values}, indent=2), encoding="utf-8")
