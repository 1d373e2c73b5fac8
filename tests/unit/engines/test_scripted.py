"""The scripted engine answers by the shape of the request, and behaves like a model where the pipeline looks."""

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


def answers(engine: ScriptedEngine, asked: list[Request]) -> dict[str, Result]:
    return {result.id: result for result in engine.generate(asked)}


def test_order_and_company_change_no_answer() -> None:
    asked = requests(50)
    together = answers(ScriptedEngine(NAMES, 0.3), asked)
    backwards = answers(ScriptedEngine(NAMES, 0.3), asked[::-1])
    alone = answers(ScriptedEngine(NAMES, 0.3), asked[7:8])
    assert together == backwards
    assert alone == {asked[7].id: together[asked[7].id]}


def test_another_attempt_is_another_answer() -> None:
    engine = ScriptedEngine(NAMES)
    first, second = answers(engine, requests(20, attempt=1)), answers(engine, requests(20, attempt=2))
    assert {result.text for result in first.values()} != {result.text for result in second.values()}


def test_prose_is_a_few_sentences_about_the_product() -> None:
    texts = [result.text for result in ScriptedEngine(NAMES).generate(requests(50))]
    assert all(3 <= text.count(".") <= 5 for text in texts)
    assert sum("Baked Beans" in text for text in texts) > 25


def test_the_first_recommendation_is_a_shoppers_form_of_the_product_asked_about() -> None:
    messages = recommend("Organic Baked Beans, 15 oz", "What goes with rice?", 3)
    (result,) = ScriptedEngine(NAMES).generate([Request("p", messages, Sampling(96), recommend_schema(3))])
    assert json.loads(result.text)["recommendation_1"] == "Organic Baked Beans"


def test_the_other_recommendations_follow_a_zipf_like_law_over_the_catalog() -> None:
    schema = recommend_schema(2)
    drawn = Counter(
        json.loads(r.text)["recommendation_2"] for r in ScriptedEngine(NAMES).generate(requests(4000, schema))
    )
    assert set(drawn) <= set(NAMES)
    assert drawn[NAMES[0]] > 3 * drawn[NAMES[5]] > 0
    assert len(drawn) >= 18


def test_a_list_of_questions_has_the_asked_length_and_never_names_the_product() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 12, "maxItems": 12}
    for result in ScriptedEngine(NAMES).generate(requests(20, schema)):
        questions = json.loads(result.text)
        assert len(questions) == 12
        assert len(set(questions)) > 6
        assert not any("beans" in question.lower() for question in questions)


def test_malformed_answers_come_at_about_the_set_rate_and_differ_between_attempts() -> None:
    clean, dirty = ScriptedEngine(NAMES), ScriptedEngine(NAMES, 0.2)
    spoiled = {}
    for attempt in (1, 2):
        asked = requests(2000, attempt=attempt)
        expected, got = answers(clean, asked), answers(dirty, asked)
        spoiled[attempt] = {key.split("#")[0] for key in got if got[key].text != expected[key].text}
        assert 300 < len(spoiled[attempt]) < 500
    assert len(spoiled[1] & spoiled[2]) < 150


def test_malformed_json_is_always_said_to_be_cut() -> None:
    for result in ScriptedEngine(NAMES, 1.0).generate(requests(100, recommend_schema(2))):
        assert result.finish_reason == "length"
        with pytest.raises(json.JSONDecodeError):
            json.loads(result.text)


@pytest.mark.parametrize(
    ("product", "said"),
    [
        ("Organic Baked Beans, 15 oz", "Organic Baked Beans"),
        ("Old Farm Original Potato Chips 8 oz", "Original Potato Chips"),
        ("7-Up", "7-Up"),
        ("100% (pure)", "100% (pure)"),
    ],
)
def test_a_shoppers_name_drops_sizes(product: str, said: str) -> None:
    assert shopper_name(product) == said
