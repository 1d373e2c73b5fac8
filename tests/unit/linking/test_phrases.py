"""What the words of a name say."""

from __future__ import annotations

import pytest

from skutune.linking.phrases import read, satisfied


def head(name: str) -> str:
    phrase = read(name)
    return phrase.terms[phrase.head]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Baked Beans", "baked bean"),
        ("Cookies", "cookie"),
        ("Tomatoes", "tomato"),
        ("Cherries", "cherry"),
        ("Pies", "pie"),
        ("Sandwiches", "sandwich"),
        ("Yoghurt", "yogurts"),
        ("Doughnuts", "donut"),
        ("BBQ Sauce", "barbecue sauces"),
        ("Macaroni & Cheese", "macaroni and cheese"),
        ("Sugar-Free Gum", "gum, sugar free"),
        ("Decaf Coffee", "Decaffeinated Coffee"),
    ],
)
def test_plural_spelling_and_stop_words_do_not_make_another_name(one: str, other: str) -> None:
    assert read(one).signature == read(other).signature


@pytest.mark.parametrize(
    ("one", "other"),
    [("Chocolate Milk", "Milk Chocolate"), ("Hummus", "Hum"), ("Crackers", "Nut-Free Crackers"), ("Peas", "Pears")],
)
def test_other_words_order_or_constraints_make_another_name(one: str, other: str) -> None:
    assert read(one).signature != read(other).signature


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Smart Ones Mini Rigatoni With Vodka Cream Sauce", "rigatoni"),
        ("Tomatoes, Diced", "tomato"),
        ("Orange Juice 12 oz", "juice"),
        ("Crackers - Original", "cracker"),
    ],
)
def test_the_head_says_what_the_thing_is(name: str, expected: str) -> None:
    assert head(name) == expected


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("Nut-Free Crackers", "nut-free"),
        ("decaf espresso", "caffeine-free"),
        ("No Sugar Added Applesauce", "sugar-free"),
        ("Non-Dairy Creamer", "dairy-free"),
        ("plant-based burger", "vegan"),
    ],
)
def test_a_constraint_is_read_and_is_no_term(name: str, constraint: str) -> None:
    phrase = read(name)
    assert phrase.constraints == {constraint}
    assert not set(phrase.terms) & {"free", "no", "decaf", "plant", "based"}


def test_what_is_vegan_is_dairy_free_but_not_the_other_way_round() -> None:
    assert "dairy-free" in satisfied(frozenset({"vegan"}))
    assert "vegan" not in satisfied(frozenset({"dairy-free"}))


@pytest.mark.parametrize("name", ["", "   ", "!!!", "with", "牛奶", "decaf", ", beans"])
def test_odd_names_are_read_without_an_error(name: str) -> None:
    phrase = read(name)
    assert len(phrase.terms) == len(phrase.surface)
    assert -1 <= phrase.head < max(len(phrase.terms), 1)
