"""Contract tests for text engines; subclasses provide the engine. That of vLLM needs its own environment."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator

import pytest
from jsonschema import validate

from skutune.engines.base import Request, Result, Sampling, TextEngine

NAMES = ["Baked Beans", "Organic Cole Slaw", "Crème Fraîche 8 oz"]
OBJECT_SCHEMA = {
    "type": "object",
    "properties": {key: {"type": "string", "maxLength": 30} for key in ("recommendation_1", "recommendation_2")},
    "required": ["recommendation_1", "recommendation_2"],
    "additionalProperties": False,
}
ARRAY_SCHEMA = {"type": "array", "items": {"type": "string", "maxLength": 60}, "minItems": 2, "maxItems": 2}


def chat_request(
    request_id: str, text: str, max_tokens: int = 12, schema: dict | None = None, temperature: float = 0.7
) -> Request:
    return Request(request_id, ({"role": "user", "content": text},), Sampling(max_tokens, temperature), schema)


class TextEngineSuite:
    """Runs against an `engine` with a context of at most 1024 tokens and a batch size of at most 8."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[TextEngine]:
        raise NotImplementedError

    def test_every_request_has_one_result_with_its_id(self, engine: TextEngine) -> None:
        requests = [chat_request(f"r{number}", f"Product: {NAMES[number % 3]}\nDescribe it.") for number in range(20)]
        results = list(engine.generate(requests))
        assert sorted(result.id for result in results) == sorted(request.id for request in requests)
        assert all(isinstance(result, Result) and result.prompt_tokens > 0 for result in results)

    def test_results_belong_to_the_request_of_their_id(self, engine: TextEngine) -> None:
        schemas = {
            letter: {
                "type": "object",
                "properties": {"choice": {"enum": [letter * 3]}},
                "required": ["choice"],
                "additionalProperties": False,
            }
            for letter in "abcdefghijkl"
        }
        results = engine.generate(chat_request(letter, "Choose.", 40, schema) for letter, schema in schemas.items())
        assert {result.id: json.loads(result.text)["choice"] for result in results} == {
            letter: letter * 3 for letter in schemas
        }

    def test_an_empty_stream_yields_no_results(self, engine: TextEngine) -> None:
        assert list(engine.generate([])) == []

    def test_a_long_stream_is_consumed_lazily(self, engine: TextEngine) -> None:
        pulled = 0

        def endless() -> Iterator[Request]:
            nonlocal pulled
            while True:
                pulled += 1
                yield chat_request(str(pulled), "Say hello.", 8)

        results = engine.generate(endless())
        next(results)
        results.close()
        assert 1 <= pulled <= 32

    def test_an_abandoned_stream_does_not_appear_in_the_next(self, engine: TextEngine) -> None:
        results = engine.generate(chat_request(f"left {number}", "Count to ten.", 16) for number in range(10))
        next(results)
        results.close()
        assert [result.id for result in engine.generate([chat_request("new", "Say hello.", 8)])] == ["new"]

    def test_a_request_added_to_the_stream_during_generation_is_served(self, engine: TextEngine) -> None:
        waiting = deque(chat_request(f"{number}#1", "Say hello.", 8) for number in range(3))
        result_ids = []

        class Stream:
            """Raises StopIteration whenever no request is waiting, but continues afterwards."""

            def __iter__(self) -> Stream:
                return self

            def __next__(self) -> Request:
                if not waiting:
                    raise StopIteration
                return waiting.popleft()

        for result in engine.generate(Stream()):
            result_ids.append(result.id)
            if result.id.endswith("#1"):
                waiting.append(chat_request(result.id.replace("#1", "#2"), "Say it again.", 8))
        assert sorted(result_ids) == ["0#1", "0#2", "1#1", "1#2", "2#1", "2#2"]

    @pytest.mark.parametrize("schema", [OBJECT_SCHEMA, ARRAY_SCHEMA], ids=["object", "array"])
    def test_json_follows_the_schema_unless_truncated(self, engine: TextEngine, schema: dict) -> None:
        requests = [
            chat_request(str(number), f"Product: {NAMES[number]}\nAnswer in JSON.", 100, schema) for number in range(3)
        ]
        complete = [result for result in engine.generate(requests) if result.finish_reason == "stop"]
        assert complete, "all texts were truncated, so nothing was tested"
        for result in complete:
            validate(json.loads(result.text), schema)

    def test_requests_with_different_schemas_and_sampling_can_be_mixed(self, engine: TextEngine) -> None:
        requests = [
            chat_request(
                str(number), "Name a food.", 60, OBJECT_SCHEMA if number % 2 else None, temperature=0.9 * (number % 3)
            )
            for number in range(6)
        ]
        for result in engine.generate(requests):
            if int(result.id) % 2 and result.finish_reason == "stop":
                validate(json.loads(result.text), OBJECT_SCHEMA)
            assert result.finish_reason in ("stop", "length", "context")

    def test_max_tokens_truncates_the_text_with_finish_reason_length(self, engine: TextEngine) -> None:
        (result,) = engine.generate([chat_request("long", "Tell me a long story about a whole town of people.", 4)])
        assert result.completion_tokens == 4
        assert result.finish_reason == "length"

    def test_unicode_is_preserved_in_both_directions(self, engine: TextEngine) -> None:
        schema = {
            "type": "object",
            "properties": {"name": {"enum": ["Crème fraîche 🥑 豆腐"]}},
            "required": ["name"],
            "additionalProperties": False,
        }
        (result,) = engine.generate([chat_request("ü/豆腐", "Product: Crème fraîche 🥑 豆腐\nRepeat it.", 60, schema)])
        assert result.id == "ü/豆腐"
        assert json.loads(result.text) == {"name": "Crème fraîche 🥑 豆腐"}

    def test_a_prompt_beyond_the_context_is_a_result_and_does_not_affect_others(self, engine: TextEngine) -> None:
        requests = [
            chat_request("before", "Say hello.", 8),
            chat_request("too long", "beans " * 3000, 8),
            chat_request("after", "Say hello.", 8),
        ]
        results = {result.id: result for result in engine.generate(requests)}
        assert set(results) == {"before", "too long", "after"}
        assert results["before"].completion_tokens > 0
        assert results["after"].completion_tokens > 0
        self.check_too_long(results["too long"])

    def check_too_long(self, result: Result) -> None:
        assert result.text == ""
        assert result.finish_reason == "context"
        assert result.completion_tokens == 0

    def test_greedy_texts_do_not_depend_on_the_call(self, engine: TextEngine) -> None:
        requests = [
            chat_request(str(number), f"Product: {NAMES[number]}\nDescribe it.", 10, temperature=0)
            for number in range(3)
        ]
        first = {result.id: result.text for result in engine.generate(requests)}
        assert {result.id: result.text for result in engine.generate(requests)} == first
