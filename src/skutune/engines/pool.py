"""The models of one process: located once, loaded on first use, and freed when no longer needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from skutune import engines
from skutune.config import model_name
from skutune.config.schema import EncoderConfig, GeneratorConfig, ModelConfig, ModelsConfig
from skutune.engines.base import Encoder, TextEngine
from skutune.engines.weights.locate import Weights, resolve, tokenizer_folder
from skutune.errors import InputError
from skutune.pipeline.graph import Role
from skutune.process import watchdog

_log = logging.getLogger(__name__)


class ModelPool:
    """The models of a config; `cache` is the folder for downloaded weights."""

    def __init__(self, models: ModelsConfig, cache: Path) -> None:
        self.models, self.cache = models, cache
        self._weights: dict[str, Weights] = {}
        self._engine: tuple[Role, TextEngine] | None = None
        self._encoder: Encoder | None = None

    def identity(self, role: Role) -> str:
        """The model's identity in fingerprints and keys. Raises InputError if the model is not available."""
        if role == "base":
            return self.weights(role).identity
        config = self._config(role)
        assert isinstance(config, GeneratorConfig | EncoderConfig)
        return engines.engine_identity(config, None if config.engine == "scripted" else self.weights(role))

    def is_remote(self, role: Role) -> bool:
        """Whether locating this model may require network access."""
        config = self._config(role)
        return not model_name.is_scripted(config) and not model_name.is_folder(config.name)

    def weights(self, role: Role) -> Weights:
        """The model's weights on this machine. Raises InputError if the model is not available."""
        config = self._config(role)
        key = f"{config.name}@{config.revision}"
        if key not in self._weights:
            self._weights[key] = resolve(config, self.cache)
        return self._weights[key]

    def text_engine(self, names: Callable[[], Sequence[str]], role: Role = "generator") -> TextEngine:
        """The engine of a role, the only one in memory; `names` returns the catalog's names for the scripted engine."""
        return self._load_engine(names, role, self._generator(role))

    def judge(self, names: Callable[[], Sequence[str]], role: Role) -> TextEngine:
        """The engine of a judge. Its stage may run without vLLM, in which case transformers replaces it."""
        config = self._generator(role)
        if config.engine == "vllm" and not engines.is_vllm_installed():
            _log.warning("models.%s: vLLM is not installed; running the judge with transformers", role)
        return self._load_engine(names, role, _any_engine(config))

    def check_judge(self, role: Role) -> None:
        """Check that `judge` is available, without loading it. Raises InputError."""
        config = self._generator(role)
        weights = None if config.engine == "scripted" else self.weights(role)
        engines.check_text_engine(_any_engine(config), weights)

    def check_chat_models(self, roles: Iterable[str] = ("generator", "judge", "base")) -> None:
        """Check that these models can be used for chats, from tokenizers and configs alone.

        Otherwise a base model that cannot be trained would fail only after the data has been generated.

        Raises:
            InputError: as `load_chat_tokenizer`.
        """
        for role in roles:
            if role == "encoder":
                continue
            config = getattr(self.models, role)
            folder = None if config is None else self._tokenizer_folder(config)
            if folder is not None:
                engines.check_chat_model(folder, is_base=role == "base")

    def _tokenizer_folder(self, config: ModelConfig) -> Path | None:
        resolved = self._weights.get(f"{config.name}@{config.revision}")
        return resolved.path if resolved is not None else tokenizer_folder(config, self.cache)

    def _load_engine(self, names: Callable[[], Sequence[str]], role: Role, config: GeneratorConfig) -> TextEngine:
        if config.engine == "scripted":
            return engines.build_text_engine(config, None, names=names)
        if self._engine is not None and self._engine[0] != role:
            self._engine[1].close()
            self._engine = None
        if self._engine is None:
            self.check_chat_models()
            weights = self.weights(role)
            with watchdog.extended():
                self._engine = role, engines.build_text_engine(config, weights, names=names)
        return self._engine[1]

    def encoder(self) -> Encoder:
        """The encoder."""
        config = self.models.encoder
        if self._encoder is None:
            weights = None if config.engine == "scripted" else self.weights("encoder")
            with watchdog.extended():
                self._encoder = engines.build_encoder(config, weights)
        return self._encoder

    def close(self) -> None:
        """Free all models, before another one needs the memory."""
        if self._engine is not None:
            self._engine[1].close()
        if self._encoder is not None:
            self._encoder.close()
        self._engine = self._encoder = None

    def _generator(self, role: Role) -> GeneratorConfig:
        config = self._config(role)
        assert isinstance(config, GeneratorConfig)
        return config

    def _config(self, role: Role) -> ModelConfig:
        config: ModelConfig | None = getattr(self.models, role)
        if config is None:
            raise InputError(f"models.{role}: is not set, but a stage needs it")
        if model_name.is_none(config):
            raise InputError(
                f"models.{role}.name: is none, but a stage of this run needs it; set a model, or stop before that "
                "stage with --until"
            )
        return config


def _any_engine(config: GeneratorConfig) -> GeneratorConfig:
    """The same model with any installed engine if the config names vLLM."""
    return config.model_copy(update={"engine": "auto"}) if config.engine == "vllm" else config
