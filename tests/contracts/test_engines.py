"""Contract tests for the text engines that run in this environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_suite import NAMES, TextEngineSuite, chat_request

from skutune.config.schema import GeneratorConfig
from skutune.engines import build_text_engine
from skutune.engines.base import Result, TextEngine
from skutune.engines.weights.locate import Weights
from skutune.samples.models import prepare_generator


class TestScripted(TextEngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[TextEngine]:
        engine = build_text_engine(GeneratorConfig(name="none", engine="scripted"), None, names=lambda: NAMES)
        yield engine
        engine.close()

    def check_too_long(self, result: Result) -> None:
        # The scripted engine has no context limit.
        assert result.text


@pytest.mark.model
class TestTransformers(TextEngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[TextEngine]:
        folder = prepare_generator(Path.home() / ".cache" / "skutune")
        config = GeneratorConfig(name=str(folder), engine="transformers", batch_size=8, context=512)
        engine = build_text_engine(config, Weights(folder, "tested"), names=lambda: NAMES)
        yield engine
        engine.close()

    def test_sampled_texts_are_the_same_for_the_same_requests_in_the_same_order(self, engine: TextEngine) -> None:
        requests = [
            chat_request(str(number), f"Product: {NAMES[number % 3]}\nDescribe it.", 12) for number in range(10)
        ]
        assert list(engine.generate(requests)) == list(engine.generate(requests))

    def test_another_request_id_gives_another_sample(self, engine: TextEngine) -> None:
        requests = [chat_request(f"p/{attempt}", "Tell me a story.", 12, temperature=1.0) for attempt in range(4)]
        assert len({result.text for result in engine.generate(requests)}) > 1
