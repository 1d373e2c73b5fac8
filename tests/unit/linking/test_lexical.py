"""What the words say for and against a product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linking_parts import product

from skutune.linking.index.lexical import FEATURES, LexicalIndex
from skutune.records import Product
from skutune.text import words

CATALOG = [
    product("1", "Baked Beans", aisle="canned meals"),
    product("2", "Coleslaw"),
    product("3", "Angel Hair Cole Slaw"),
    product("4", "Peanut Butter Cookies"),
    product("5", "Peanut Butter", diet="gluten-free"),
    product("6", "Vegan Cheese Slices"),
    product("7", "Hot Dog Buns"),
]
WORDS = words(
    "beans baked coleslaw cole slaw peanut butter cookies cheese vegan decaf fresh organic 12 oz milk chocolate hot "
    "dog hotdog skimmed bath tissue loo roll with 牛奶"
)
WORDS += ["nut-free", ",", "&", "!!!"]
names = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
products = st.builds(
    lambda name, aisle: product("", name, **aisle), names, st.fixed_dictionaries({}, optional={"aisle": names})
)


@pytest.fixture(scope="module")
def index() -> LexicalIndex:
    return LexicalIndex.build(CATALOG)


def features(index: LexicalIndex, name: str, places: np.ndarray) -> np.ndarray:
    return index.features([index.query(name)], np.array([len(places)]), places)


def features_of(index: LexicalIndex, name: str, place: int) -> dict[str, float]:
    (row,) = features(index, name, np.array([place]))
    return dict(zip(FEATURES, row.tolist(), strict=True))


def test_a_literal_match_is_found_and_covers_everything(index: LexicalIndex) -> None:
    assert index.literal(index.query("baked bean")).tolist() == [0]
    found = features_of(index, "baked bean", 0)
    assert found["literal"] == found["covered"] == found["fits"] == found["head_agrees"] == found["same_words"] == 1
    assert found["query_coverage"] == found["name_coverage"] == 1
    assert found["unknown"] == found["head_elsewhere"] == 0


@pytest.mark.parametrize("name", ["Beans, Baked", "beans (baked)", "BAKED BEANS!", "the baked beans"])
def test_order_about_a_comma_case_and_stop_words_leave_a_name_literal(index: LexicalIndex, name: str) -> None:
    expected = [] if "(" in name else [0]
    assert index.literal(index.query(name)).tolist() == expected


def test_an_inverted_product_is_literally_asked_for_either_way() -> None:
    index = LexicalIndex.build([product("1", "Tomatoes, Diced"), product("2", "Milk, Chocolate, Nuts")])
    for name in ("diced tomatoes", "tomatoes, diced", "tomato diced"):
        assert index.literal(index.query(name)).tolist() == [0]
        assert features_of(index, name, 0)["literal"] == 1
    assert index.literal(index.query("chocolate nuts milk")).tolist() == []


def test_the_same_words_in_another_order_are_told_but_are_not_literal(index: LexicalIndex) -> None:
    found = features_of(index, "butter peanut", 4)
    assert (found["same_words"], found["literal"]) == (1, 0)


def test_compounds_are_one_word_however_they_are_written(index: LexicalIndex) -> None:
    assert index.literal(index.query("cole slaw")).tolist() == [1]
    assert features_of(index, "coleslaw", 2)["covered"] == 1
    assert features_of(index, "hotdog buns", 6)["covered"] == 1


def test_a_compound_leaves_the_head_what_it_is() -> None:
    apart = LexicalIndex.build([product("1", "Cole Slaw Salad"), product("2", "Cole Slaw")])
    joined = LexicalIndex.build([product("1", "Coleslaw Salad"), product("2", "Coleslaw")])
    for index, name in ((apart, "coleslaw salad"), (joined, "cole slaw salad")):
        assert features_of(index, name, 0)["fits"] == 1
        assert features_of(index, name, 1)["head_agrees"] == 0


def test_a_word_is_not_split_into_words_that_no_product_holds_together() -> None:
    index = LexicalIndex.build([product("1", "Car Wax"), product("2", "Pet Food")])
    assert index.candidates(index.query("carpet"), 10).tolist() == []


def test_a_word_that_no_product_has_is_unknown_and_one_that_others_have_is_missing(index: LexicalIndex) -> None:
    unknown, missing = features_of(index, "xqv beans", 0), features_of(index, "peanut beans", 0)
    assert unknown["unknown"] > 0.3
    assert unknown["query_coverage"] == 1
    assert missing["unknown"] == 0
    assert missing["query_coverage"] < 0.6
    assert unknown["covered"] == missing["covered"] == 0


def test_a_head_that_no_product_has_is_missing_and_no_brand(index: LexicalIndex) -> None:
    assert features_of(index, "bean xqv", 0)["query_coverage"] < 0.6
    assert features_of(index, "xqv", 0)["query_coverage"] == 0


def test_words_that_say_little_are_not_missed(index: LexicalIndex) -> None:
    found = features_of(index, "fresh organic baked beans 12 oz", 0)
    assert found["covered"] == found["fits"] == 1
    assert found["unknown"] < 0.3
    alone = LexicalIndex.build([product("1", "Organic"), product("2", "Beans")])
    assert features_of(alone, "organic", 0)["covered"] == 1
    assert features_of(alone, "organic", 1)["covered"] == 0


def test_a_head_that_is_elsewhere_in_a_name_is_told_from_its_head(index: LexicalIndex) -> None:
    butter, cookies = features_of(index, "butter", 4), features_of(index, "butter", 3)
    assert (butter["head_agrees"], butter["head_elsewhere"], butter["fits"]) == (1, 0, 1)
    assert (cookies["head_agrees"], cookies["head_elsewhere"], cookies["fits"]) == (0, 1, 0)


def test_a_constraint_is_met_by_what_name_or_attributes_state_or_imply(index: LexicalIndex) -> None:
    def met(name: str) -> list[int]:
        forbidden = index.violating(index.query(name))
        assert forbidden is not None
        return np.flatnonzero(~forbidden).tolist()

    assert met("nut-free baked beans") == []
    assert met("gluten-free peanut butter") == [4]
    assert met("dairy-free cheese") == [5]
    assert index.violating(index.query("cheese")) is None
    assert features_of(index, "cheese", 5)["constraint_extra"] == 1
    assert features_of(index, "vegan cheese", 5)["constraint_extra"] == 0


def test_attributes_are_evidence_of_their_own(index: LexicalIndex) -> None:
    assert features_of(index, "canned beans", 0)["attribute_coverage"] > 0.3
    assert features_of(index, "canned beans", 1)["attribute_coverage"] == 0


def test_hidden_products_are_no_candidates_even_if_literal(index: LexicalIndex) -> None:
    hidden = np.array([False, True, False, False, False, False, False])
    assert index.candidates(index.query("coleslaw"), 10, hidden).tolist() == [2]


def test_few_candidates_are_those_with_the_head_and_the_fewest_other_words() -> None:
    index = LexicalIndex.build([*CATALOG, product("8", "Butter"), product("9", "Honey Butter Popcorn")])
    assert index.candidates(index.query("butter"), 2).tolist() == [4, 7]


def test_what_is_literally_asked_for_is_a_candidate_however_few_are_wanted() -> None:
    index = LexicalIndex.build([product(str(number), "Butter") for number in range(50)])
    assert len(index.candidates(index.query("butter"), 3)) == 50


def test_a_fair_answer_by_words_holds_them_all_and_the_head(index: LexicalIndex) -> None:
    assert index.same_thing(index.query("butter")).tolist() == [4]
    assert index.same_thing(index.query("peanut cookies")).tolist() == [3]
    assert index.same_thing(index.query("jelly cookies")).tolist() == []


def test_a_name_without_words_finds_nothing() -> None:
    index = LexicalIndex.build([*CATALOG, product("8", "!!!")])
    assert index.candidates(index.query("???"), 10).tolist() == []
    assert index.same_thing(index.query("???")).tolist() == []
    assert not features(index, "???", np.arange(8))[:, FEATURES.index("literal")].any()
    assert not features(index, "baked beans", np.array([7])).any()


def test_products_of_one_name_are_twins_and_names_without_words_are_not() -> None:
    index = LexicalIndex.build(
        [product(str(at), name) for at, name in enumerate(["Beans", "beans.", "Bean", "!!!", "?"])]
    )
    assert index.twins[0] == index.twins[1] >= 0
    assert index.twins[2:].tolist() == [-1, -1, -1]


@given(catalog=st.lists(products, min_size=1, max_size=8), asked=st.lists(names, max_size=5), seed=st.integers(0, 99))
def test_a_batch_says_of_each_name_what_it_says_alone(catalog: list[Product], asked: list[str], seed: int) -> None:
    index, generator = LexicalIndex.build(catalog), np.random.default_rng(seed)
    places = [np.flatnonzero(generator.random(len(catalog)) < 0.7) for _ in asked]
    counts = np.array([len(each) for each in places], dtype=np.int64)
    together = index.features(
        [index.query(name) for name in asked],
        counts,
        np.concatenate([*places, np.empty(0, dtype=np.int64)]).astype(np.int64),
    )
    alone = [features(index, name, each) for name, each in zip(asked, places, strict=True)]
    assert np.array_equal(together, np.concatenate([*alone, np.empty((0, len(FEATURES)), dtype=np.float32)]))


@given(catalog=st.lists(products, min_size=1, max_size=8), name=names)
def test_whatever_the_words_every_feature_is_a_share(catalog: list[Product], name: str) -> None:
    index = LexicalIndex.build(catalog)
    said = features(index, name, np.arange(len(catalog)))
    assert np.isfinite(said).all()
    assert said.min() >= 0
    assert said.max() <= 1 + 1e-6


@given(catalog=st.lists(products, min_size=1, max_size=8), name=names)
def test_literal_products_are_the_same_by_look_up_and_by_feature(catalog: list[Product], name: str) -> None:
    index = LexicalIndex.build(catalog)
    said = features(index, name, np.arange(len(catalog)))[:, FEATURES.index("literal")]
    assert np.flatnonzero(said).tolist() == index.literal(index.query(name)).tolist()


@given(name=names, others=st.lists(products, max_size=5))
def test_a_products_own_name_is_literally_that_product(name: str, others: list[Product]) -> None:
    index = LexicalIndex.build([product("own", name), *others])
    query = index.query(name)
    assert (0 in index.literal(query).tolist()) == bool(len(query.ids))
