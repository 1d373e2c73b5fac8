"""The contract of text engines, kept by vLLM; needs its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM has an environment of its own: run `make test-vllm`")

from engine_suite import NAMES, TextEngineSuite

from skutune.config import GeneratorConfig
from skutune.engines import build_text_engine
from skutune.engines.base import TextEngine
from skutune.engines.weights import Weights

FOLDER = Path.home() / ".cache" / "skutune" / "models" / "smollm2-135m-instruct"


@pytest.mark.vllm
class TestVllm(TextEngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[TextEngine]:
        config = GeneratorConfig(name=str(FOLDER), engine="auto", batch_size=8, context=512)
        engine = build_text_engine(config, Weights(FOLDER, "tested"), names=lambda: NAMES)
        yield engine
        engine.close()
