"""Names in other shops: dimensions, brands and series, and words that a catalog abbreviates."""

from __future__ import annotations

import numpy as np
import pytest
from linking_parts import product

from skutune.linking.index.lexical import FEATURES, LexicalIndex
from skutune.linking.names.sizes import read_sizes

FURNITURE = LexicalIndex.build(
    [
        product("0", "SAGSTUA Bed frame, 140x200 cm", category="Beds"),
        product("1", "DELAKTIG Bed frame, 160x200 cm", category="Beds"),
        product("2", "BILLY Bookcase, 80x28x202 cm", category="Bookcases"),
        product("3", "BILLY Extra shelf, 36x26 cm", category="Bookcases"),
        product("4", "MALM Chest of 6 drawers", category="Drawers"),
        product("5", "Wooden Bookcase", category="Bookcases"),
        product("6", "Bookcase with glass door", category="Bookcases"),
    ]
)
FROZEN = LexicalIndex.build(
    [product("0", "FRZN VEG CORN 16 OZ"), product("1", "CHKN BRST BNLS"), product("2", "SFT DRNK 2 LTR")]
)


@pytest.mark.parametrize(
    ("text", "dimensions"),
    [
        ("bed frame 160x200", {"160x200"}),
        ("bed frame 200 x 160 cm", {"160x200"}),
        ("bed frame 1600x2000 mm", {"160x200"}),
        ("bed frame 1.6 x 2 m", {"160x200"}),
        ("shelf 80×28×202 cm", {"28x80", "28x202", "80x202"}),
    ],
)
def test_dimensions_are_read_in_any_order_and_unit(text: str, dimensions: set[str]) -> None:
    assert {value for slot, value in read_sizes(text) if slot == "dimensions of 2"} == dimensions


@pytest.mark.parametrize("text", ["6 x 330 ml", "2x12 oz", "4x4", "box"])
def test_multiples_of_a_package_are_no_dimensions(text: str) -> None:
    assert not {slot for slot, _ in read_sizes(text)} & {"length", "dimensions of 2"} or text == "4x4"


def excluded(index: LexicalIndex, name: str) -> set[int]:
    mask = index.violating(index.query(name))
    return set() if mask is None else set(np.flatnonzero(mask).tolist())


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("bed frame 160x200", {0, 2, 3}),
        ("bookcase 80x202", {0, 1, 3}),
        ("bookcase 202 cm", {0, 1, 3}),
        ("bookcase 80x40x202", {0, 1, 2, 3}),
        ("bookcase", set()),
    ],
)
def test_a_product_of_other_dimensions_is_excluded(name: str, products: set[int]) -> None:
    assert excluded(FURNITURE, name) == products


@pytest.mark.parametrize(
    ("name", "products"), [("BILLY", [2, 3]), ("billy", [2, 3]), ("malm", []), ("bookcase", []), ("wooden", [])]
)
def test_a_series_is_every_product_that_begins_with_it(name: str, products: list[int]) -> None:
    rows = FURNITURE.features([FURNITURE.query(name)], np.array([7]), np.arange(7))
    assert np.flatnonzero(rows[:, FEATURES.index("series")]).tolist() == products


@pytest.mark.parametrize(
    ("name", "place"), [("frozen vegetables", 0), ("chicken breast boneless", 1), ("soft drink 2 liter", 2)]
)
def test_a_word_that_the_catalog_abbreviates_is_its_abbreviation(name: str, place: int) -> None:
    (row,) = FROZEN.features([FROZEN.query(name)], np.array([1]), np.array([place]))
    assert row[FEATURES.index("query_coverage")] == 1


@pytest.mark.parametrize("name", ["check", "chaos", "brush", "drone", "chocolate"])
def test_other_words_are_not_taken_for_abbreviated(name: str) -> None:
    assert FROZEN.query(name).ids.tolist() == [-1]
