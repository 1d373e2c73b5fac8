"""Constraints that are shared, denied or only nearly so, written out."""

from __future__ import annotations

import pytest

from skutune.linking.names.phrase import read_phrase, satisfied


@pytest.mark.parametrize(
    ("name", "constraints"),
    [
        ("nut/gluten free granola", {"nut-free", "gluten-free"}),
        ("nut- and gluten-free granola", {"nut-free", "gluten-free"}),
        ("nut, dairy and gluten free granola", {"nut-free", "dairy-free", "gluten-free"}),
        ("granola free of gluten and nuts", {"nut-free", "gluten-free"}),
        ("crackers free from nuts", {"nut-free"}),
        ("Organic Gluten & Wheat Free Waffles", {"gluten-free", "wheat-free"}),
        ("cookies without any nuts or eggs", {"nut-free", "egg-free"}),
        ("0% fat yogurt", {"fat-free"}),
        ("tree nut free bars", {"tree-nut-free"}),
        ("milk free chocolate", {"dairy-free"}),
        ("scent free soap", {"fragrance-free"}),
    ],
)
def test_what_is_shared_is_kept_for_each(name: str, constraints: set[str]) -> None:
    phrase = read_phrase(name)
    assert phrase.constraints == constraints
    assert "free" not in phrase.terms


@pytest.mark.parametrize(
    "name",
    ["Not vegan", "not suitable for vegetarians", "Non-Vegan Cheese", "not gluten-free bread", "Eggs Free Range"],
)
def test_what_is_denied_is_no_promise(name: str) -> None:
    assert read_phrase(name).constraints == frozenset()


def test_words_beside_a_constraint_promise_nothing() -> None:
    assert read_phrase("Soy Milk Gluten Free").constraints == {"gluten-free"}
    assert read_phrase("Soy Milk Gluten Free").terms == ("soy", "milk")
    assert read_phrase("Non-Dairy Creamer").constraints == {"dairy-free"}


def test_nearly_free_of_fat_is_low_in_fat() -> None:
    assert read_phrase("98% Fat Free Ham").constraints == {"low-fat"}
    assert read_phrase("99.5 % fat-free ham").constraints == {"low-fat"}
    assert read_phrase("100% Fat Free Ham").constraints == {"fat-free"}
    assert read_phrase("Part Skim Milk Cheese").constraints == frozenset()


def test_without_added_sugar_is_not_without_sugar() -> None:
    for name in ("unsweetened juice", "juice, no sugar added", "juice without added sugar", "no added sugar juice"):
        assert read_phrase(name).constraints == {"unsweetened"}, name
    assert "sugar-free" not in satisfied(frozenset({"unsweetened"}))
    assert "unsweetened" not in satisfied(frozenset({"sugar-free"}))


def test_free_of_nuts_is_free_of_each_kind_but_not_the_other_way_round() -> None:
    assert {"peanut-free", "tree-nut-free"} <= satisfied(frozenset({"nut-free"}))
    assert "peanut-free" not in satisfied(frozenset({"tree-nut-free"}))
