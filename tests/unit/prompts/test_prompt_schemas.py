"""The patterns let through what is wanted and nothing that breaks an answer."""

from __future__ import annotations

import json
import re

import pytest

from skutune.prompts import answer, question, recommend
from skutune.prompts.json_schema import NAME, PROSE, QUESTION


@pytest.mark.parametrize(
    "text",
    [
        "What goes with a roast?",
        "I eat no nuts, what can I snack?",
        "Can you name something crunchy to dip in?",
        "7 guests are coming, what do I need?",
        "¿Qué acompaña bien al arroz?",
        "Что подать к рису?",
        "ごはんに合うものは何ですか？",
    ],
)
def test_a_question_is_let_through(text: str) -> None:
    assert re.fullmatch(QUESTION, text)


@pytest.mark.parametrize(
    "text",
    ["What?", "Beans are good.", "What is [1] in it, please?", "What: 1. this? And that?", "- what is it about?"],
)
def test_what_is_no_question_is_not(text: str) -> None:
    assert not re.fullmatch(QUESTION, text)


@pytest.mark.parametrize(
    "name",
    [
        "Baked Beans",
        "Crème Fraîche",
        "Ben & Jerry's",
        "Nut-Free Crackers",
        "Äpfel",
        "7 Up",
        "iPhone",
        "eBay Card",
        "Печёная фасоль",
        "味噌汁",
        "牛乳",
        "김치",
        "لبن",
        "Dr. Pepper",
        "Sofa 3-Sitzer",
        "M8 Schraube 40 mm",
    ],
)
def test_a_name_is_let_through(name: str) -> None:
    assert re.fullmatch(NAME, name)


@pytest.mark.parametrize(
    "name", ["", "beans: id 5", "Beans (canned)", "X" * 60, "beans", "- Beans", "«Beans»", "、Beans", "Beans, Rice"]
)
def test_what_would_break_a_reference_is_not(name: str) -> None:
    assert not re.fullmatch(NAME, name)


def test_the_worked_examples_follow_their_own_schemas() -> None:
    from jsonschema import validate

    for _, answered in question.EXAMPLES:
        validate(json.loads(answered), question.schema(4))
    for _, answered in recommend.EXAMPLES:
        validate(json.loads(answered), recommend.schema(2))
    for _, answered in answer.EXAMPLES:
        validate(json.loads(answered), answer.schema(2))


def test_prose_has_one_or_two_sentences() -> None:
    assert re.fullmatch(PROSE, "Beans are soft and sweet.")
    assert re.fullmatch(PROSE, "Beans are soft and sweet. They suit everybody.")
    assert not re.fullmatch(PROSE, "Beans are soft. They suit everybody. They are cheap to buy.")


def test_all_prompts_of_a_stage_begin_alike() -> None:
    from skutune.records import Product

    first, second = (Product(str(n), name, {"aisle": "x"}, "") for n, name in enumerate(("Ham", "Eggs")))
    one, other = question.question(first, ["meal"]), question.question(second, ["meal"])
    assert one[:-1] == other[:-1]
    assert one[-1] != other[-1]
    assert "Product: Ham" in one[-1]["content"]


def test_examples_are_turns_of_user_and_assistant() -> None:
    messages = recommend.recommend("Ham", "What goes with eggs?", 2)
    turns = ["user", "assistant"] * len(recommend.EXAMPLES)
    assert [message["role"] for message in messages] == ["system", *turns, "user"]
    assert messages[2]["content"] == recommend.EXAMPLES[0][1]
