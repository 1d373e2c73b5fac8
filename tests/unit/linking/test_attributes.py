"""What the attributes of a product state and deny."""

from __future__ import annotations

import numpy as np
import pytest
from linking_parts import product

from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.names.attributes import read_attribute, read_attributes
from skutune.records import Product


@pytest.mark.parametrize("column", ["gluten_free", "Gluten Free", "glutenFree", "is_gluten_free", "gluten-free"])
@pytest.mark.parametrize(("value", "holds"), [("yes", True), ("True", True), ("1", True), ("no", False), ("0", False)])
def test_a_column_may_be_a_constraint_by_itself(column: str, value: str, holds: bool) -> None:
    facts = read_attribute(column, value)
    assert facts.stated == (frozenset({"gluten-free"}) if holds else frozenset())
    assert facts.denied == (frozenset() if holds else frozenset({"gluten-free"}))
    assert facts.terms == ()


def test_a_product_that_contains_a_substance_is_not_free_of_it() -> None:
    assert read_attribute("contains_nuts", "yes").denied == {"nut-free"}
    assert read_attribute("contains nuts", "no").stated == {"nut-free"}


def test_a_yes_in_a_boolean_column_adds_its_title_to_the_terms() -> None:
    assert read_attribute("organic", "yes").terms == ("organic",)
    assert read_attribute("organic", "no").terms == ()
    assert read_attribute("stock", "1").terms == ("1",)


def test_attributes_of_one_product_are_merged() -> None:
    (facts,) = read_attributes([product("1", "Bread", aisle="canned goods", vegan="true", kosher="false", size="3")])
    assert (facts.terms, facts.stated, facts.denied) == (("canned", "good", "3"), {"vegan"}, {"kosher"})
    assert facts.sizes == {("size", "3")}
    assert read_attributes([product("1", "Bread")])[0].terms == ()


def meets(one: Product, constraint: str) -> bool:
    index = LexicalIndex.build([one, product("other", "Salt")])
    forbidden = index.violating(index.query(f"{constraint} bread"))
    assert forbidden is not None
    return not np.asarray(forbidden)[0]


def test_an_attribute_that_denies_a_constraint_overrules_the_name() -> None:
    assert meets(product("1", "Bread", gluten_free="yes"), "gluten-free")
    assert not meets(product("1", "Bread", gluten_free="no"), "gluten-free")
    assert not meets(product("1", "Gluten Free Bread", gluten_free="no"), "gluten-free")
    assert not meets(product("1", "Bread"), "gluten-free")


def test_a_constraint_does_not_hold_if_one_that_it_implies_is_denied() -> None:
    contradictory = product("1", "Vegan Bread", dairy_free="no")
    assert not meets(contradictory, "dairy-free")
    assert not meets(contradictory, "vegan")
    assert meets(contradictory, "vegetarian")
