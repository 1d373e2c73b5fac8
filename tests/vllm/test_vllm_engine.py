"""The text engine contract for vLLM, which needs its own environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM needs its own environment; run `make test-vllm`")

import psutil
from engine_suite import NAMES, TextEngineSuite, chat_request
from jsonschema import validate

from skutune.config.schema import GeneratorConfig
from skutune.engines import build_text_engine
from skutune.engines.base import Request, Sampling, TextEngine
from skutune.engines.weights.locate import Weights
from skutune.errors import DeviceError, InputError
from skutune.prompts import answer, question, recommend
from skutune.prompts.chat_template import Messages
from skutune.records import Product

FOLDER = Path.home() / ".cache" / "skutune" / "models" / "smollm2-135m-instruct"
QUESTION = "What goes well with a chicken fried steak?"
PRODUCTS = [Product(id=str(number), name=name, attributes={}, key="") for number, name in enumerate(NAMES)]


# In GiB. By default vLLM claims nearly all memory, and does not start if other processes use some of it.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def start(context: int) -> TextEngine:
    config = GeneratorConfig(name=str(FOLDER), engine="auto", batch_size=8, context=context)
    return build_text_engine(config, Weights(FOLDER, "tested"), names=lambda: NAMES)


def prompts_of(kind: str) -> list[Messages]:
    if kind == "question":
        return [question.question(product, ["pairing", "meal", "diet"]) for product in PRODUCTS]
    if kind == "answer":
        return [answer.answer(QUESTION, [name, "Dinner Rolls"]) for name in NAMES]
    return [recommend.recommend(name, QUESTION, 2) for name in NAMES]


@pytest.mark.vllm
class TestVllm(TextEngineSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[TextEngine]:
        with closing(start(context=1024)) as engine:
            yield engine

    @pytest.mark.parametrize(
        ("kind", "schema"),
        [("question", question.schema(3)), ("answer", answer.schema(2)), ("recommend", recommend.schema(2))],
        ids=["question", "answer", "recommend"],
    )
    def test_the_schemas_of_the_stages_are_followed(self, engine: TextEngine, kind: str, schema: dict) -> None:
        requests = [
            Request(f"{number} at {temperature}", messages, Sampling(450, temperature), schema)
            for number, messages in enumerate(prompts_of(kind))
            for temperature in (0, 0.9)
        ]
        results = list(engine.generate(requests))
        assert [result.finish_reason for result in results] == ["stop"] * 6
        for result in results:
            validate(json.loads(result.text), schema)

    def test_an_unsupported_schema_raises_and_does_not_affect_other_requests(self, engine: TextEngine) -> None:
        requests = [
            chat_request("good", "Say hello.", 8),
            chat_request("bad", "Say hello.", 8, {"type": "string", "pattern": "("}),
        ]
        with pytest.raises(InputError, match="request 'bad': vLLM rejects its schema"):
            list(engine.generate(requests))
        assert [result.id for result in engine.generate([chat_request("next", "Say hello.", 8)])] == ["next"]


@pytest.mark.vllm
def test_a_dead_engine_raises_device_errors() -> None:
    with closing(start(context=512)) as engine:
        results = engine.generate(
            chat_request(str(number), "Count to a hundred.", 200 if number else 1) for number in range(40)
        )
        assert next(results).id == "0"
        for process in device_processes():
            process.kill()
        with pytest.raises(DeviceError, match="engine died"):
            list(results)
        with pytest.raises(DeviceError, match="engine died"):
            list(engine.generate([chat_request("next", "Say hello.", 8)]))


def device_processes() -> list[psutil.Process]:
    """The worker processes of vLLM's engine core."""
    (core,) = (process for process in psutil.Process().children() if process.children())
    return core.children()
