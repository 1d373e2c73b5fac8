"""Names and labels made from the catalog itself."""

from __future__ import annotations

from linking_parts import MiniLm

from skutune.linking import Linker, synthetic_names
from skutune.linking.synthetic_names import generic_names, query_text
from skutune.records import Product


def test_short_names_are_the_last_words_up_to_the_head() -> None:
    assert generic_names("Smart Ones Mini Rigatoni With Vodka Cream Sauce") == ["rigatoni", "ones mini rigatoni"]
    assert generic_names("Baked Beans 12 oz") == ["beans", "baked beans"]
    assert generic_names("???") == []


def test_the_text_of_a_name_holds_its_expansion_where_there_is_one() -> None:
    assert query_text("Coleslaw", None) == "Coleslaw"
    assert query_text("Coleslaw", "A salad of cabbage.") == "Coleslaw. A salad of cabbage."


def test_the_same_seed_asks_the_same(groceries: list[Product]) -> None:
    assert synthetic_names.sample_queries(groceries, 3) == synthetic_names.sample_queries(groceries, 3)
    assert synthetic_names.sample_queries(groceries, 3) != synthetic_names.sample_queries(groceries, 4)


def test_a_british_name_is_encoded_in_the_words_of_the_shop() -> None:
    assert query_text("grilled courgettes", None) == "grilled zucchini"


def test_each_name_is_asked_with_and_without_what_answers_it(
    groceries: list[Product], linker: Linker, encoder: MiniLm
) -> None:
    asked = synthetic_names.sample_queries(groceries, 0)
    rounds = synthetic_names.label_queries(asked, linker.evidence, linker.calibration, encoder)
    assert len(rounds.odds) == len(rounds.right) == len(rounds.product)
    assert 0 < rounds.right.sum() <= len(asked)
    assert rounds.odds[rounds.right].mean() > rounds.odds[~rounds.right].mean() + 2
    assert rounds.retrieved == 1
