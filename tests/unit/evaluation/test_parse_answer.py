"""Answers are read for what they name, in the format or not."""

import pytest

from skutune.answer_format import AnswerItem, AnswerText, Reference, render
from skutune.evaluation.parse_answer import parse_loosely, references_of

CATALOG = {"1": "Baked Beans", "2": "Coleslaw", "3": "Half & Half (1:2: id)"}


def answer(*products):
    items = tuple(AnswerItem("Something", "Tastes good.", product) for product in products)
    return render(AnswerText("Try these.", items, "Enjoy."))


def test_an_answer_in_the_format_is_read_exactly():
    found = parse_loosely(answer(Reference("1", "Baked Beans"), None, Reference("3", CATALOG["3"])), CATALOG)
    assert (found.parses, found.ids, found.no_product) == (True, ("1", "3"), 1)
    assert (found.ids_in_catalog, found.names_agree) == (2, 2)


def test_a_real_id_under_another_products_name_does_not_agree():
    found = parse_loosely(answer(Reference("2", "Baked Beans")), CATALOG)
    assert (found.ids_in_catalog, found.names_agree) == (1, 0)


def test_an_invented_id_is_not_in_the_catalog():
    found = parse_loosely(answer(Reference("999", "Baked Beans")), CATALOG)
    assert (found.ids, found.ids_in_catalog, found.names_agree) == (("999",), 0, 0)


def test_names_agree_whatever_their_case():
    assert parse_loosely(answer(Reference("1", "BAKED beans.")), CATALOG).names_agree == 1


@pytest.mark.parametrize(
    "text",
    [
        "Sure! (closest product: Baked Beans: id 1)",
        "(Closest Product: Baked Beans: ID 1)\nand more",
        "* Beans\n(closest product : Baked Beans, id: 1",
        "(closest product: Baked Beans id 1)",
        "(closest product: Baked Beans: id #1).",
        "You want (closest product: Baked Beans: id 1) with it.",
    ],
)
def test_references_in_broken_format_are_found(text):
    parses, references = references_of(text)
    assert not parses
    assert references == (Reference("1", "Baked Beans"),)


def test_order_is_kept_in_broken_format():
    _, references = references_of("(closest product: A: id 1)\n(no close product)\n(closest product: B: id 2)")
    assert references == (Reference("1", "A"), None, Reference("2", "B"))


def test_prose_without_references_has_none():
    assert references_of("Beans go well with rice. My id is 5.") == (False, ())
