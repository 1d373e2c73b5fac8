"""Sizes, strengths, model numbers and marks: what tells one of a kind from the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linking_parts import product, unfitted

from skutune.config.schema import LinkConfig
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.linking.index.lexical import FEATURES, LexicalIndex
from skutune.linking.names.phrase import read_phrase
from skutune.linking.names.sizes import is_minor, sizes_of_attribute
from skutune.linking.names.sizes import read_sizes as measures_of
from skutune.records import Product


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("size 3 diapers", {("size", "3")}),
        ("Diapers, 24 Count, Sizes 3-4", {("ct", "24"), ("size", "3"), ("size", "4")}),
        ("60w light bulb", {("w", "60")}),
        ("60-Watt Light Bulb", {("w", "60")}),
        ("2 percent milk", {("%", "2")}),
        ("iPhone 14", {("iphone", "14")}),
        ("iPhone14 Pro", {("iphone", "14")}),
        ("AA/AAA charger", {("cell", "aa"), ("cell", "aaa")}),
        ("C batteries", {("cell", "c")}),
        ("9 volt battery", {("cell", "9v"), ("v", "9")}),
        ("Vitamin C 1,000 mg", {("mg", "1000")}),
        ("Vitamin B-12", {("b", "12")}),
        ("2nd Foods Carrot", {("th", "2")}),
        ("SPF 50+ sun cream", {("spf", "50")}),
        ("gloves 2XL", {("size", "xxl")}),
        ("T-shirt, size large", {("size", "l")}),
        ("7 Grain Bread", {("of grain", "7")}),
        ('10.0" skillet', {("inch", "10")}),
        ("pencil #2", {("pencil", "2")}),
    ],
)
def test_a_measure_is_read_however_it_is_written(text: str, told: set[tuple[str, str]]) -> None:
    assert measures_of(text) == told


@pytest.mark.parametrize(
    "text", ["Baked Beans", "100% juice", "50% less sugar", "vitamin c", "pack of 6", "Aardvark", "24/7", "", "牛奶"]
)
def test_what_does_not_tell_one_of_a_kind_from_another_is_no_measure(text: str) -> None:
    assert measures_of(text) == set()


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert all(slot and value for slot, value in measures_of(text))
    read_phrase(text)


def test_packages_and_numbers_of_parts_say_less_than_sizes() -> None:
    assert is_minor("oz")
    assert is_minor("of grain")
    assert not any(is_minor(slot) for slot in ("size", "w", "%", "cell", "iphone"))


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("size", "3", {("size", "3")}),
        ("size", "M", {("size", "m")}),
        ("wattage", "60", {("w", "60")}),
        ("wattage", "60 W", {("w", "60")}),
        ("details", "for iPhone 14", {("iphone", "14")}),
        ("aisle", "baby care", set()),
    ],
)
def test_a_column_names_the_slot_of_a_bare_value(column: str, value: str, told: set[tuple[str, str]]) -> None:
    assert sizes_of_attribute(column, value) == told


SHOP = [
    product("3", "Diapers Size 3"),
    product("4", "Size 4 Diapers"),
    product("any", "Diapers"),
    product("60", "60W Light Bulb"),
    product("40", "Light Bulb 40 Watt"),
    product("15", "iPhone 15"),
    product("2%", "2% Milk"),
    product("whole", "Whole Milk"),
    product("aa", "AA Batteries"),
    product("aaa", "AAA Batteries"),
    product("9v", "9V Battery"),
    product("coffee", "Coffee 10 oz"),
    product("boots", "Boots", size="9"),
    product("7", "7 Grain Bread"),
]


@pytest.fixture(scope="module")
def index() -> LexicalIndex:
    return LexicalIndex.build(SHOP)


def allowed(index: LexicalIndex, name: str, *of: str) -> set[str]:
    forbidden = index.violating(index.query(name))
    return {one.id for at, one in enumerate(SHOP) if one.id in of and (forbidden is None or not forbidden[at])}


@pytest.mark.parametrize(
    ("name", "of", "left"),
    [
        ("size 3 diapers", ("3", "4", "any"), {"3", "any"}),
        ("size 5 diapers", ("3", "4", "any"), {"any"}),
        ("diapers", ("3", "4", "any"), {"3", "4", "any"}),
        ("60 watt light bulb", ("60", "40"), {"60"}),
        ("iPhone 14", ("15",), set()),
        ("1% milk", ("2%", "whole"), {"whole"}),
        ("AA batteries", ("aa", "aaa", "9v"), {"aa"}),
        ("D batteries", ("aa", "aaa", "9v"), set()),
        ("boots size 10", ("boots",), set()),
        ("boots size 9", ("boots",), {"boots"}),
    ],
)
def test_a_product_of_another_size_is_no_candidate_and_one_that_tells_none_is(
    index: LexicalIndex, name: str, of: tuple[str, ...], left: set[str]
) -> None:
    assert allowed(index, name, *of) == left


def features_of(index: LexicalIndex, name: str, product_id: str) -> dict[str, float]:
    place = [one.id for one in SHOP].index(product_id)
    (row,) = index.features([index.query(name)], np.array([1]), np.array([place]))
    return dict(zip(FEATURES, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "product_id"), [("Coffee 12 oz", "coffee"), ("12 grain bread", "7"), ("AA batteries", "aaa")]
)
def test_a_product_of_another_measure_neither_fits_nor_covers_the_name(
    index: LexicalIndex, name: str, product_id: str
) -> None:
    said = features_of(index, name, product_id)
    assert (said["covered"], said["fits"], said["same_words"], said["literal"]) == (0, 0, 0, 0)
    assert said["head_agrees"] == 1


@pytest.mark.parametrize(
    ("name", "product_id"), [("coffee", "coffee"), ("coffee 10 oz", "coffee"), ("7 grain bread", "7")]
)
def test_a_product_of_the_same_measure_or_one_not_asked_for_fits(
    index: LexicalIndex, name: str, product_id: str
) -> None:
    assert features_of(index, name, product_id)["fits"] == 1


def test_another_package_is_still_a_candidate(index: LexicalIndex) -> None:
    assert allowed(index, "coffee 12 oz", "coffee") == {"coffee"}


def test_a_number_is_one_word_with_its_unit_however_that_is_written() -> None:
    assert read_phrase("60 Watt Light Bulb").signature == read_phrase("60w light bulb").signature
    assert read_phrase("Soda, 12 fl. oz").signature == read_phrase("soda, 12oz").signature
    assert read_phrase("Milk 2%").terms == read_phrase("milk 2 percent").terms


def test_marks_that_carry_meaning_make_other_words() -> None:
    shop = [product(name, name) for name in ("C", "C#", "C++")]
    linker = unfitted(shop)
    for one in shop:
        (linked,) = linker.link([one.name], ScriptedEncoder().encode([one.name]), LinkConfig())
        assert [candidate.id for candidate in linked.candidates] == [one.id]


def test_an_a_plus_is_no_a_and_dot_net_is_no_net() -> None:
    assert read_phrase("A+ Guide").terms != read_phrase("A Guide").terms
    assert read_phrase(".NET Guide").terms != read_phrase("Net Guide").terms
    assert read_phrase("Vitamin A+D").terms == read_phrase("Vitamin A D").terms


def test_sizes_bind_their_own_name_of_a_batch_alone(index: LexicalIndex) -> None:
    names, everything = ["coffee", "coffee 12 oz", "coffee 10 oz"], np.arange(len(SHOP))
    queries = [index.query(name) for name in names]
    told = index.size_mismatch(queries, np.full(3, len(SHOP)), np.tile(everything, 3)).reshape(3, -1)
    assert told.sum(axis=1).tolist() == [0, 1, 0]


@given(st.lists(st.sampled_from(SHOP), min_size=1, max_size=6), st.sampled_from(SHOP))
def test_a_product_never_contradicts_its_own_name(others: list[Product], own: Product) -> None:
    index = LexicalIndex.build([own, *others])
    forbidden = index.violating(index.query(own.name))
    assert forbidden is None or not forbidden[0]
    assert not index.size_mismatch([index.query(own.name)], np.array([1]), np.array([0])).any()
