"""The scripted engine follows the request's schema and resembles a model in the relevant properties."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from skutune.engines.base import Request, Result, Sampling
from skutune.engines.scripted.engine import ScriptedEngine, shopper_name
from skutune.prompts.recommend import recommend
from skutune.prompts.recommend import schema as recommend_schema

NAMES = [
    f"{fruit} {form}" for form in ("Juice", "Jam", "Tea", "Pie") for fruit in ("Apple", "Plum", "Pear", "Fig", "Lime")
]


def requests(count: int, schema: dict | None = None, attempt: int = 1) -> list[Request]:
    prompt = "Write.\nProduct: Organic Baked Beans, 15 oz\nQuestion: What goes with rice?"
    return [
        Request(f"p{number}#{attempt}", ({"role": "user", "content": prompt},), Sampling(500), schema)
        for number in range(count)
    ]


def results_by_id(engine: ScriptedEngine, batch: list[Request]) -> dict[str, Result]:
    return {result.id: result for result in engine.generate(batch)}


def test_order_and_batching_do_not_change_texts() -> None:
    batch = requests(50)
    together = results_by_id(ScriptedEngine(NAMES, 0.3), batch)
    backwards = results_by_id(ScriptedEngine(NAMES, 0.3), batch[::-1])
    alone = results_by_id(ScriptedEngine(NAMES, 0.3), batch[7:8])
    assert together == backwards
    assert alone == {batch[7].id: together[batch[7].id]}


def test_a_new_attempt_gives_a_new_text() -> None:
    engine = ScriptedEngine(NAMES)
    first, second = results_by_id(engine, requests(20, attempt=1)), results_by_id(engine, requests(20, attempt=2))
    assert {result.text for result in first.values()} != {result.text for result in second.values()}


def test_prose_is_a_few_sentences_about_the_product() -> None:
    texts = [result.text for result in ScriptedEngine(NAMES).generate(requests(50))]
    assert all(3 <= text.count(".") <= 5 for text in texts)
    assert sum("Baked Beans" in text for text in texts) > 25


def test_the_first_recommendation_is_a_shopper_name_of_the_source_product() -> None:
    messages = recommend("Organic Baked Beans, 15 oz", "What goes with rice?", 3)
    (result,) = ScriptedEngine(NAMES).generate([Request("p", messages, Sampling(96), recommend_schema(3))])
    assert json.loads(result.text)["recommendation_1"] == "Organic Baked Beans"


def test_other_recommendations_follow_a_zipf_like_distribution_over_the_catalog() -> None:
    schema = recommend_schema(2)
    names = Counter(
        json.loads(r.text)["recommendation_2"] for r in ScriptedEngine(NAMES).generate(requests(4000, schema))
    )
    assert set(names) <= set(NAMES)
    assert names[NAMES[0]] > 3 * names[NAMES[5]] > 0
    assert len(names) >= 18


def test_a_list_of_questions_has_the_requested_length_and_does_not_name_the_product() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 12, "maxItems": 12}
    for result in ScriptedEngine(NAMES).generate(requests(20, schema)):
        questions = json.loads(result.text)
        assert len(questions) == 12
        assert len(set(questions)) > 6
        assert not any("beans" in question.lower() for question in questions)


def test_malformed_texts_occur_at_about_the_configured_rate_and_differ_between_attempts() -> None:
    clean_engine, malformed_engine = ScriptedEngine(NAMES), ScriptedEngine(NAMES, 0.2)
    malformed = {}
    for attempt in (1, 2):
        batch = requests(2000, attempt=attempt)
        expected, results = results_by_id(clean_engine, batch), results_by_id(malformed_engine, batch)
        malformed[attempt] = {key.split("#")[0] for key in results if results[key].text != expected[key].text}
        assert 300 < len(malformed[attempt]) < 500
    assert len(malformed[1] & malformed[2]) < 150


def test_malformed_json_is_reported_as_truncated() -> None:
    for result in ScriptedEngine(NAMES, 1.0).generate(requests(100, recommend_schema(2))):
        assert result.finish_reason == "length"
        with pytest.raises(json.JSONDecodeError):
            json.loads(result.text)


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("Organic Baked Beans, 15 oz", "Organic Baked Beans"),
        ("Old Farm Original Potato Chips 8 oz", "Original Potato Chips"),
        ("7-Up", "7-Up"),
        ("100% (pure)", "100% (pure)"),
    ],
)
def test_a_shopper_name_has_no_sizes(product: str, expected: str) -> None:
    assert shopper_name(product) == expected
