"""The words of a catalog, and what they say for a product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from linking_parts import product

from skutune.linking.lexical import FEATURES, LexicalIndex

CATALOG = [
    product("1", "Baked Beans", aisle="canned meals"),
    product("2", "Coleslaw"),
    product("3", "Angel Hair Cole Slaw"),
    product("4", "Peanut Butter Cookies"),
    product("5", "Peanut Butter", diet="gluten-free"),
    product("6", "Vegan Cheese Slices"),
    product("7", "Hot Dog Buns"),
]


def features_of(index: LexicalIndex, name: str, place: int) -> dict[str, float]:
    row = index.features(index.query(name), np.array([place]))[0]
    return dict(zip(FEATURES, row.tolist(), strict=True))


def test_a_literal_match_is_found_and_covers_everything() -> None:
    index = LexicalIndex.build(CATALOG)
    assert index.literal(index.query("baked bean")).tolist() == [0]
    found = features_of(index, "baked bean", 0)
    assert found["literal"] == found["covered"] == found["head_agrees"] == 1
    assert found["query_coverage"] == found["name_coverage"] == 1


def test_compounds_are_one_word_however_they_are_written() -> None:
    index = LexicalIndex.build(CATALOG)
    assert index.literal(index.query("cole slaw")).tolist() == [1]
    assert features_of(index, "coleslaw", 2)["covered"] == 1
    assert features_of(index, "hotdog buns", 6)["covered"] == 1


def test_a_word_is_not_split_into_words_that_no_product_holds_together() -> None:
    index = LexicalIndex.build([product("1", "Car Wax"), product("2", "Pet Food")])
    assert index.candidates(index.query("carpet"), 10).tolist() == []


def test_a_word_that_the_catalog_lacks_leaves_a_name_half_covered() -> None:
    index = LexicalIndex.build(CATALOG)
    assert features_of(index, "jelly beans", 0)["query_coverage"] < 0.6


def test_a_head_that_is_elsewhere_in_a_name_is_told_from_its_head() -> None:
    index = LexicalIndex.build(CATALOG)
    butter, cookies = features_of(index, "butter", 4), features_of(index, "butter", 3)
    assert (butter["head_agrees"], butter["head_elsewhere"]) == (1, 0)
    assert (cookies["head_agrees"], cookies["head_elsewhere"]) == (0, 1)


def test_a_constraint_is_missing_unless_name_or_attributes_state_or_imply_it() -> None:
    index = LexicalIndex.build(CATALOG)
    assert features_of(index, "nut-free baked beans", 0)["constraint_missing"] == 1
    assert features_of(index, "gluten-free peanut butter", 4)["constraint_missing"] == 0
    assert features_of(index, "dairy-free cheese", 5)["constraint_missing"] == 0
    assert features_of(index, "cheese", 5)["constraint_extra"] == 1


def test_attributes_are_evidence_of_their_own() -> None:
    index = LexicalIndex.build(CATALOG)
    assert features_of(index, "canned beans", 0)["attribute_coverage"] > 0.3
    assert features_of(index, "canned beans", 1)["attribute_coverage"] == 0


def test_hidden_products_are_no_candidates_even_if_literal() -> None:
    index = LexicalIndex.build(CATALOG)
    hidden = np.array([False, True, False, False, False, False, False])
    assert index.candidates(index.query("coleslaw"), 10, hidden).tolist() == [2]


def test_few_candidates_are_those_with_the_head_and_the_fewest_other_words() -> None:
    index = LexicalIndex.build([*CATALOG, product("8", "Butter"), product("9", "Honey Butter Popcorn")])
    assert index.candidates(index.query("butter"), 2).tolist() == [4, 7]


def test_a_name_without_words_finds_nothing() -> None:
    index = LexicalIndex.build([*CATALOG, product("8", "!!!")])
    assert index.candidates(index.query("???"), 10).tolist() == []
    assert not index.features(index.query("???"), np.arange(8))[:, FEATURES.index("literal")].any()


def test_an_index_is_the_same_after_saving(tmp_path: Path) -> None:
    index = LexicalIndex.build(CATALOG)
    index.save(tmp_path)
    loaded = LexicalIndex.load(tmp_path)
    everything = np.arange(len(CATALOG))
    for name in ("coleslaw", "vegan butter", "canned beans", "spaceship"):
        expected = index.features(index.query(name), everything)
        assert np.array_equal(loaded.features(loaded.query(name), everything), expected)
