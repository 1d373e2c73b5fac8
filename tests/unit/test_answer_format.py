"""Rendered answers parse back to themselves, and only answers parse."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from skutune.answer_format import (
    NO_PRODUCT,
    AnswerItem,
    AnswerText,
    FormatError,
    Reference,
    contains_marker,
    is_valid_id,
    parse,
    parse_reference,
    render,
    render_reference,
)
from skutune.text import fold

STEAK = AnswerText(
    "Baked beans and coleslaw go well with it.",
    (
        AnswerItem("Baked Beans", "Sweet and savory: a classic.", Reference("32717", "Baked Beans")),
        AnswerItem("Unicorn Gravy", "Hard to come by.", None),
    ),
    "Enjoy your meal.",
)
STEAK_TEXT = """\
Baked beans and coleslaw go well with it.

 * Baked Beans: Sweet and savory: a classic.
(closest product: Baked Beans: id 32717)


 * Unicorn Gravy: Hard to come by.
(no close product)


Enjoy your meal."""


def test_an_answer_is_rendered_in_the_format() -> None:
    assert render(STEAK) == STEAK_TEXT


def test_a_rendered_answer_parses() -> None:
    assert parse(STEAK_TEXT) == STEAK


# Random combinations of the format's own delimiters.
_DELIMITERS = [": id ", ": ", ":", "id", ")", "(", "\n\n\n", " * ", "* ", "(closest product:", "(no close product)"]
_SPACES = [" ", "\t", "\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\u00a0", "\ufeff", "\u200b"]
_fragments = st.sampled_from([*_DELIMITERS, *_SPACES, "Beans", "7", "é"])
_adversarial = st.one_of(
    st.lists(_fragments, max_size=6).map("".join),
    st.text(max_size=20),
    st.text(st.characters(codec="ascii"), max_size=20),
)
_references = st.none() | st.builds(Reference, id=_adversarial, name=_adversarial)
_items = st.builds(AnswerItem, name=_adversarial, paragraph=_adversarial, product=_references)
_answers = st.builds(
    AnswerText, introduction=_adversarial, items=st.lists(_items, max_size=3).map(tuple), conclusion=_adversarial
)

# The same on one line and without markers, all of which can be rendered.
_line = _adversarial.map(fold).map(lambda text: "x" if not text or contains_marker(text) else text)
_name = _line.map(lambda text: fold(text.replace(":", " ")) or "x").map(
    lambda text: "x" if contains_marker(text) else text
)
_id = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
_product_name = _adversarial.map(lambda text: fold(text) or "x")
_renderable = st.builds(
    AnswerText,
    introduction=_line,
    items=st.lists(
        st.builds(
            AnswerItem,
            name=_name,
            paragraph=_line,
            product=st.none() | st.builds(Reference, id=_id, name=_product_name),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    conclusion=_line,
)


@given(st.one_of(_renderable, _answers))
@settings(max_examples=300, deadline=None)
@example(AnswerText("a", (AnswerItem("b", "c", Reference("7)", "Dip: id 3): id 4")),), "d"))
@example(AnswerText("a", (AnswerItem("b", "c", Reference("7", "(no close product)")),), "d"))
@example(AnswerText("a", (AnswerItem("b", ": c", None),), "* d"))
@example(AnswerText("a", (AnswerItem("b", ":", None),), "d"))
@example(AnswerText("a", (AnswerItem("b:", "c", None),), "d"))
def test_rendering_round_trips(answer: AnswerText) -> None:
    try:
        text = render(answer)
    except FormatError:
        assume(False)
    assert parse(text) == answer


@given(_renderable)
@settings(max_examples=300, deadline=None)
def test_ordinary_answers_can_be_rendered(answer: AnswerText) -> None:
    assert parse(render(answer)) == answer


@given(
    st.one_of(_adversarial, st.lists(st.sampled_from(STEAK_TEXT.splitlines(keepends=True)), max_size=14).map("".join))
)
@settings(max_examples=300, deadline=None)
def test_any_text_round_trips_or_raises(text: str) -> None:
    try:
        answer = parse(text)
    except FormatError:
        return
    assert render(answer) == text


@given(st.integers(0, len(STEAK_TEXT) - 1), st.sampled_from(["", "\n", " ", ":", ")", "x", "\u2028"]))
@settings(max_examples=400, deadline=None)
def test_an_answer_with_one_changed_character_round_trips_or_raises(position: int, replacement: str) -> None:
    text = STEAK_TEXT[:position] + replacement + STEAK_TEXT[position + 1 :]
    try:
        answer = parse(text)
    except FormatError:
        return
    assert render(answer) == text


@given(st.builds(Reference, id=_adversarial, name=_adversarial))
@settings(max_examples=400, deadline=None)
@example(Reference("4", "Dip: id 3"))
@example(Reference("4)", "Dip (large)"))
def test_references_round_trip(product: Reference) -> None:
    try:
        parsed = parse_reference(render_reference(product))
    except FormatError:
        assert not (
            is_valid_id(product.id) and product.name.isprintable() and product.name.strip() == product.name != ""
        )
    else:
        assert parsed == product or not is_valid_id(product.id)


def test_no_product_round_trips() -> None:
    assert render_reference(None) == NO_PRODUCT
    assert parse_reference(NO_PRODUCT) is None


@pytest.mark.parametrize(
    ("product_id", "valid"),
    [
        *((product_id, True) for product_id in ("32717", "007", "a/b-7_Ä", "7)")),
        *((product_id, False) for product_id in ("", "7 8", "7\n", "\u00a07", "7\u200b", "7\x00", "\ud800")),
    ],
)
def test_an_id_has_no_white_space_or_control_characters(product_id: str, valid: bool) -> None:
    assert is_valid_id(product_id) is valid


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("(closest product: X: id 7)", True),
        ("the Closest Product is", True),
        ("There is no close product.", True),
        ("products that are close", False),
    ],
)
def test_reserved_phrases_are_detected(prose: str, expected: bool) -> None:
    assert contains_marker(prose) is expected


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("introduction", ""), "the introduction is empty"),
        (("introduction", "a\n\nb"), "the introduction contains a line break"),
        (("conclusion", " a"), "the conclusion is empty or has leading or trailing white space"),
        (("conclusion", "the closest product"), "the conclusion contains a reserved phrase"),
        (("items", ()), "at least one recommendation"),
        (("items", (AnswerItem("a: b", "c", None),)), "contains ': '"),
        (("items", (AnswerItem(": a", "c", None),)), "contains ': '"),
        (("items", (AnswerItem("a", "c", Reference("1 2", "b")),)), "'1 2' is not a valid id"),
        (("items", (AnswerItem("a", "c", Reference("1", "b\u2028c")),)), "is not a valid product name"),
        (("items", (AnswerItem("a", "c", Reference("1", "")),)), "is not a valid product name"),
    ],
)
def test_an_answer_that_would_not_parse_cannot_be_rendered(change: tuple[str, object], what: str) -> None:
    parts = {"introduction": "a", "items": (AnswerItem("b", "c", None),), "conclusion": "d", **dict([change])}
    with pytest.raises(FormatError, match=what):
        render(AnswerText(**parts))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no blank line after the introduction"),
        ("only prose", "no blank line after the introduction"),
        ("a\n\nb", "no recommendation"),
        ("a\n\n * b: c\n(no close product)\n\n\n", "the conclusion is empty"),
        ("a\n\n * b\n(no close product)\n\n\nd", "recommendation without a name"),
        ("a\n\n * b: c\n\n\nd", "not a recommendation followed by a reference"),
        ("a\n\n * b: c\n(closest product: Beans)\n\n\nd", "reference without an id"),
        ("a\n\n * b: c\n(closest product: Beans: id 7\n\n\nd", "not a product reference"),
        ("a\n\n * b: c\n(closest product: Beans: id 7) \n\n\nd", "not a product reference"),
        ("a\n\n * b: c\n(closest product: Beans: id )\n\n\nd", "is not a valid id"),
    ],
)
def test_a_format_error_describes_the_problem(text: str, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse(text)
