from __future__ import annotations

import pytest

from skutune.prompts.cleaning import clean_name, clean_prose, clean_question, rejection_reason, sentences_of


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Sure! Here is a description of the product: Beans are good.", "Beans are good."),
        ("Certainly, here's the description:\n\nBeans are good.", "Beans are good."),
        ("Description: Beans are good.", "Beans are good."),
        ('"Beans are good."', "Beans are good."),
        ("**Beans** are _very_ good.", "Beans are _very_ good."),
        ("## Beans\nBeans are good.", "Beans Beans are good."),
        ("1. Beans are good.\n2. They are cheap.", "Beans are good. They are cheap."),
        ("- Beans are good.", "Beans are good."),
        ("Beans are\n\n good.", "Beans are good."),
        ("Greatness is in beans. They are good.", "Greatness is in beans. They are good."),
    ],
)
def test_what_a_small_model_puts_around_a_text_is_removed(written: str, kept: str) -> None:
    assert clean_prose(written, cut=False) == kept


def test_a_sentence_that_was_cut_is_dropped() -> None:
    assert clean_prose("Beans are good. They are che", cut=True) == "Beans are good."
    assert clean_prose("Beans are che", cut=True) == ""


def test_sentences_beyond_the_limit_are_left_out() -> None:
    assert clean_prose("One is. Two is. Three is.", cut=False, max_sentences=2) == "One is. Two is."


def test_numbers_with_a_point_end_no_sentence() -> None:
    assert sentences_of("It holds 1.5 litres. It is red.") == ["It holds 1.5 litres.", "It is red."]


@pytest.mark.parametrize(
    ("prose", "fault"),
    [
        ("", "empty"),
        ("Beans are good", "incomplete last sentence"),
        ("Beans go with meat and.", "incomplete last sentence"),
        ("Beans go well,.", "incomplete last sentence"),
        ("As an AI language model I like beans.", "refusal"),
        ("I'm sorry, I have no beans.", "refusal"),
        ("Beans are it (closest product: Beans: id 1).", "closest product"),
        ("Beans are good. Beans are good. Beans are good.", "repetitive text"),
    ],
)
def test_what_cannot_be_mended_is_said(prose: str, fault: str) -> None:
    assert fault in str(rejection_reason(prose))


def test_good_prose_has_no_fault() -> None:
    assert rejection_reason("Beans are soft. They are eaten with bread.", min_sentences=2) is None
    assert "fewer than 3" in str(rejection_reason("Beans are soft. They are eaten with bread.", min_sentences=3))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("1. Baked Beans", "Baked Beans"),
        ('"Baked Beans."', "Baked Beans"),
        ("**Baked Beans** (canned)", "Baked Beans"),
        ("  Baked\nBeans ", "Baked Beans"),
        ("Crème Fraîche", "Crème Fraîche"),
    ],
)
def test_a_name_loses_its_wrapping(written: str, name: str) -> None:
    assert clean_name(written) == name


def test_a_question_loses_its_number_and_quotes() -> None:
    assert clean_question('Question 2: "What goes with ham?"') == "What goes with ham?"
    assert clean_question("3) What goes with ham?") == "What goes with ham?"
