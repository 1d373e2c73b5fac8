"""Names and labels made from the catalog itself."""

from __future__ import annotations

import numpy as np
from linking_parts import MiniLm

from skutune.linking import Linker, queries
from skutune.linking.evidence import FEATURES
from skutune.linking.queries import generic_names, query_text
from skutune.records import Product


def test_short_names_are_the_last_words_up_to_the_head() -> None:
    assert generic_names("Smart Ones Mini Rigatoni With Vodka Cream Sauce") == ["rigatoni", "ones mini rigatoni"]
    assert generic_names("Baked Beans 12 oz") == ["beans", "baked beans"]
    assert generic_names("???") == []


def test_the_text_of_a_name_holds_its_expansion_where_there_is_one() -> None:
    assert query_text("Coleslaw", None) == "Coleslaw"
    assert query_text("Coleslaw", "A salad of cabbage.") == "Coleslaw. A salad of cabbage."


def test_the_same_seed_asks_the_same(groceries: list[Product]) -> None:
    assert queries.ask(groceries, 3) == queries.ask(groceries, 3)
    assert queries.ask(groceries, 3) != queries.ask(groceries, 4)


def test_pairs_hold_right_and_wrong_products_of_equal_weight(
    groceries: list[Product], linker: Linker, encoder: MiniLm
) -> None:
    pairs = queries.label(queries.ask(groceries, 0), groceries, linker.evidence, encoder)
    right = pairs.acceptable
    assert right.any()
    assert not right.all()
    assert np.isclose(pairs.weights[right].sum(), pairs.weights[~right].sum())
    assert not pairs.features[right][:, FEATURES.index("constraint_missing")].any()
    assert pairs.retrieved == 1
