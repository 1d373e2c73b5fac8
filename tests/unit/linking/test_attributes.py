"""What the attributes of a product promise and deny."""

from __future__ import annotations

import numpy as np
import pytest
from linking_parts import product

from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.names.attributes import of, read
from skutune.records import Product


@pytest.mark.parametrize("column", ["gluten_free", "Gluten Free", "glutenFree", "is_gluten_free", "gluten-free"])
@pytest.mark.parametrize(("value", "holds"), [("yes", True), ("True", True), ("1", True), ("no", False), ("0", False)])
def test_a_column_may_be_a_constraint_by_itself(column: str, value: str, holds: bool) -> None:
    said = read(column, value)
    assert said.stated == (frozenset({"gluten-free"}) if holds else frozenset())
    assert said.denied == (frozenset() if holds else frozenset({"gluten-free"}))
    assert said.terms == ()


def test_what_contains_a_thing_is_not_free_of_it() -> None:
    assert read("contains_nuts", "yes").denied == {"nut-free"}
    assert read("contains nuts", "no").stated == {"nut-free"}


def test_a_column_of_answers_says_its_own_name_where_they_are_yes() -> None:
    assert read("organic", "yes").terms == ("organic",)
    assert read("organic", "no").terms == ()
    assert read("stock", "1").terms == ("1",)


def test_attributes_of_one_product_say_all_that_each_says() -> None:
    (said,) = of([product("1", "Bread", aisle="canned goods", vegan="true", kosher="false", size="3")])
    assert (said.terms, said.stated, said.denied) == (("canned", "good", "3"), {"vegan"}, {"kosher"})
    assert said.sizes == {("size", "3")}
    assert of([product("1", "Bread")])[0].terms == ()


def meets(one: Product, constraint: str) -> bool:
    index = LexicalIndex.build([one, product("other", "Salt")])
    forbidden = index.violating(index.query(f"{constraint} bread"))
    assert forbidden is not None
    return not np.asarray(forbidden)[0]


def test_a_promise_is_kept_and_a_denial_holds_whatever_the_name_says() -> None:
    assert meets(product("1", "Bread", gluten_free="yes"), "gluten-free")
    assert not meets(product("1", "Bread", gluten_free="no"), "gluten-free")
    assert not meets(product("1", "Gluten Free Bread", gluten_free="no"), "gluten-free")
    assert not meets(product("1", "Bread"), "gluten-free")


def test_what_implies_something_that_is_denied_does_not_hold_either() -> None:
    contradictory = product("1", "Vegan Bread", dairy_free="no")
    assert not meets(contradictory, "dairy-free")
    assert not meets(contradictory, "vegan")
    assert meets(contradictory, "vegetarian")
