"""Language models and encoders behind two small protocols, built from the config.

Heavy packages are imported when an engine is built, so that the command line and unrelated tests stay fast.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from skutune.config import model_name
from skutune.config.schema import EncoderConfig, GeneratorConfig, ModelConfig
from skutune.engines.base import Encoder, TextEngine
from skutune.engines.weights.locate import SCRIPTED_IDENTITY, Located, Weights, is_sentence_encoder
from skutune.errors import InputError

__all__ = [
    "SCRIPTED_IDENTITY",
    "build_encoder",
    "build_text_engine",
    "check_chat_model",
    "check_text_engine",
    "engine_identity",
    "is_vllm_installed",
    "model_identity",
]


def build_text_engine(
    config: GeneratorConfig, weights: Weights | None, *, names: Callable[[], Sequence[str]], seed: int = 0
) -> TextEngine:
    """Build the text engine of a config. `names` returns the catalog's product names; only `scripted` calls it.

    Raises:
        InputError: the engine's package is missing, or the model cannot be loaded.
    """
    if config.engine == "scripted":
        from skutune.engines.scripted.engine import ScriptedEngine

        return ScriptedEngine(names(), config.malformed_rate, seed)
    folder = _folder(config, weights)
    if _text_kind(config) == "vllm":
        from skutune.engines.vllm import VllmEngine

        return VllmEngine(folder, config, seed)
    from skutune.engines.transformers.engine import TransformersEngine

    return TransformersEngine(folder, config, seed)


def check_text_engine(config: GeneratorConfig, weights: Weights | None) -> None:
    """Check that an engine is available, without loading weights.

    Raises:
        InputError: its package is missing, or its model is not a chat model or is not supported by the engine.
    """
    if config.engine == "scripted":
        return
    folder, kind = _folder(config, weights), _text_kind(config)
    from skutune.engines.chat import ChatTokens

    ChatTokens(folder)
    if kind == "transformers":
        from skutune.engines.transformers.engine import check_model

        check_model(folder)


def check_chat_model(folder: Path, *, is_base: bool) -> None:
    """Check a chat model's tokenizer and config; a base model may lack a chat template.

    Raises:
        InputError: as `chat.load_chat_tokenizer`.
    """
    _require("transformers", "skutune[generate]", "models")
    from skutune.engines.chat import load_chat_tokenizer

    load_chat_tokenizer(folder, is_base=is_base)


def is_vllm_installed() -> bool:
    """Whether this machine has vLLM."""
    return _is_installed("vllm")


def build_encoder(config: EncoderConfig, weights: Weights | None) -> Encoder:
    """Build the encoder of a config.

    Raises:
        InputError: the encoder's package is missing, or the model cannot be loaded.
    """
    if config.engine == "scripted":
        from skutune.engines.scripted.encoder import ScriptedEncoder

        return ScriptedEncoder()
    folder = _folder(config, weights)
    if _encoder_kind(config, is_sentence_encoder(folder)) == "sentence":
        _require("sentence_transformers", "skutune[generate]", "models.encoder")
        from skutune.engines.encoders import SentenceEncoder

        return SentenceEncoder(folder, config)
    for module in ("torch", "transformers"):
        _require(module, "skutune[generate]", "models.encoder")
    from skutune.engines.encoders import MeanPooledEncoder

    return MeanPooledEncoder(folder, config)


def engine_identity(config: GeneratorConfig | EncoderConfig, weights: Weights | None) -> str:
    """The identity of a model in keys and fingerprints: it covers what changes the output, not where or how it runs.

    vLLM and transformers with the same weights have the same identity; a scripted engine has its own.
    """
    if config.engine == "scripted":
        return model_identity(config, Located(SCRIPTED_IDENTITY, False))
    folder = _folder(config, weights)
    assert weights is not None
    return model_identity(config, Located(weights.identity, is_sentence_encoder(folder)))


def model_identity(config: ModelConfig, located: Located) -> str:
    """As `engine_identity`, for any model of a config whose weights are located but need not be local."""
    rate = getattr(config, "malformed_rate", None)
    if model_name.is_scripted(config):
        return f"{SCRIPTED_IDENTITY} malformed={rate:g}" if rate else SCRIPTED_IDENTITY
    if isinstance(config, EncoderConfig):
        return f"{located.identity} {_encoder_kind(config, located.is_sentence)}"
    return located.identity


def _text_kind(config: GeneratorConfig) -> str:
    """Resolve `auto` to an engine. Raises InputError if a package of the engine is missing."""
    if config.engine == "vllm" or (config.engine == "auto" and is_vllm_installed()):
        _require("vllm", "skutune[vllm]", "models.generator")
        return "vllm"
    for module in ("torch", "transformers", "llguidance"):
        _require(module, "skutune[generate]", "models.generator")
    return "transformers"


def _encoder_kind(config: EncoderConfig, is_sentence: bool) -> str:
    if config.engine != "auto":
        return config.engine
    return "sentence" if is_sentence else "mean-pooled"


def _folder(config: GeneratorConfig | EncoderConfig, weights: Weights | None) -> Path:
    if weights is None or weights.path is None:
        raise InputError(f"model {config.name}: the engine {config.engine} needs weights; only scripted works without")
    return weights.path


def _require(module: str, extra: str, where: str) -> None:
    if not _is_installed(module):
        raise InputError(
            f"{where}: needs the Python package {module}; run `pip install '{extra}'`, or set its engine to scripted"
        )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
