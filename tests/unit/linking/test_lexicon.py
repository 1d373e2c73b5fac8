"""Different words for one thing, and the tables that say so."""

from __future__ import annotations

import pytest

from skutune.linking.names.lexicon import (
    ALL_CONSTRAINTS,
    CONSTRAINTS,
    FREE,
    IMPLIED,
    LITTLE,
    LOW,
    PHRASES,
    SPELLINGS,
    STOP,
    WEAK,
)
from skutune.linking.names.phrase import in_usual_words, read_phrase, stem

BITS = 62  # of a mask of constraints, so that it stays a positive number of 64 bits


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Natural Yoghurt", "natural yogurt"),
        ("Chilli Flakes", "chili flakes"),
        ("Wholemeal Bread", "whole wheat bread"),
        ("whole-wheat bread", "wholewheat breads"),
        ("Grilled Courgettes", "grilled zucchini"),
        ("Aubergine Dip", "eggplant dip"),
        ("Tinned Sweetcorn", "canned corn"),
        ("Soya Milk", "soy milk"),
        ("King Prawns", "king shrimp"),
        ("Aluminium Foil", "aluminum foil"),
        ("Beef Mince", "ground beef"),
        ("minced beef", "Ground Beef"),
        ("Strawberry Flavoured Milk", "strawberry flavored milk"),
        ("Porridge", "oatmeal"),
        ("Nappies", "diapers"),
    ],
)
def test_british_and_american_words_are_one(one: str, other: str) -> None:
    assert read_phrase(one).signature == read_phrase(other).signature


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bath Tissue", "toilet paper"),
        ("Loo Rolls", "toilet paper"),
        ("Kitchen Roll", "paper towels"),
        ("Washing-up Liquid", "dish soap"),
        ("Cling Film", "plastic wrap"),
        ("Bicarbonate of Soda", "baking soda"),
        ("Icing Sugar", "powdered sugar"),
        ("Confectioner's Sugar", "powdered sugar"),
        ("Spring Onions", "green onions"),
        ("Scallions", "green onions"),
        ("Fizzy Water", "sparkling water"),
        ("Lemon Seltzer", "lemon sparkling water"),
        ("Fish Fingers", "fish sticks"),
        ("Skimmed Milk", "nonfat milk"),
        ("Skimmed Milk", "fat-free milk"),
        ("OJ", "orange juice"),
    ],
)
def test_a_thing_has_its_usual_name_whatever_the_run_of_words(one: str, other: str) -> None:
    assert read_phrase(one).signature == read_phrase(other).signature


@pytest.mark.parametrize(
    ("one", "other"),
    [("Jalapeño", "jalapenos"), ("Crème Brûlée", "creme brulee"), ("Açaí Bowl", "acai bowls"), ("Gruyère", "gruyere")],
)
def test_accents_do_not_make_another_name(one: str, other: str) -> None:
    assert read_phrase(one).signature == read_phrase(other).signature


@pytest.mark.parametrize(
    ("one", "other"),
    [("Rocket", "Arugula"), ("Chips", "Crisps"), ("Biscuits", "Cookies"), ("Jelly", "Jam"), ("Pudding", "Dessert")],
)
def test_words_that_are_something_else_on_the_other_side_of_the_ocean_stay_apart(one: str, other: str) -> None:
    assert read_phrase(one).signature != read_phrase(other).signature


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TVs", "TV"),
        ("CDs", "cd"),
        ("Scarves", "scarf"),
        ("Shelves", "shelf"),
        ("Lenses", "lens"),
        ("Knives", "knife"),
        ("Wireless Mice", "wireless mouse"),
        ("Horseshoes", "horseshoe"),
        ("Canoes", "canoe"),
        ("Olives", "olive"),
        ("Gloves", "glove"),
        ("Potatoes", "potato"),
        ("School Buses", "school bus"),
    ],
)
def test_plurals_that_do_more_than_add_a_letter_are_the_same_word(one: str, other: str) -> None:
    assert read_phrase(one).signature == read_phrase(other).signature


@pytest.mark.parametrize("word", ["gas", "bus", "lens", "glass"])
def test_a_word_that_ends_as_a_plural_does_is_none(word: str) -> None:
    assert stem(word) == word


@pytest.mark.parametrize(
    ("one", "other"), [("Low Fat Milk", "Reduced Fat Milk"), ("Diet Cola", "Zero Sugar Cola"), ("Light Fat", "Low Fat")]
)
def test_nearly_the_same_constraint_is_met_but_is_not_the_same_product(one: str, other: str) -> None:
    assert read_phrase(one).constraints == read_phrase(other).constraints
    assert read_phrase(one).signature != read_phrase(other).signature
    assert read_phrase(one).bag != read_phrase(other).bag


def test_a_run_of_words_is_renamed_only_where_it_is_whole() -> None:
    assert read_phrase("Bath Salt").terms == ("bath", "salt")
    assert read_phrase("Kitchen Knife").terms == ("kitchen", "knife")
    assert read_phrase("Spring Water").terms == ("spring", "water")


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("grilled courgettes", "grilled zucchini"),
        ("Bath Tissue", "toilet paper"),
        ("soft bath tissue rolls", "soft toilet paper rolls"),
        ("aubergines", "eggplant"),
        ("skimmed milk", "nonfat milk"),
    ],
)
def test_an_encoder_is_told_the_usual_words(name: str, usual: str) -> None:
    assert in_usual_words(name) == usual


@pytest.mark.parametrize(
    "name", ["Baked Beans", "Crème Brûlée", "Ben & Jerry's", "2% Milk!", "牛奶", "", "🍕", "tomatoes"]
)
def test_a_name_in_usual_words_stays_as_it_is(name: str) -> None:
    assert in_usual_words(name) == name


def test_usual_words_are_not_renamed_again() -> None:
    for phrases in PHRASES.values():
        for _, meant in phrases:
            usual = in_usual_words(" ".join(meant))
            assert in_usual_words(usual) == usual


def test_every_entry_has_the_form_in_which_it_is_looked_up() -> None:
    for word in {*CONSTRAINTS, *FREE, *LITTLE, *LOW}:
        assert stem(word) == word or word in PHRASES, word
    for parts, _ in (entry for entries in PHRASES.values() for entry in entries):
        assert not STOP.intersection(parts), parts
        assert parts == tuple(stem(part) for part in parts), parts


def test_a_spelling_leads_to_a_word_that_leads_nowhere_else() -> None:
    for word, usual in SPELLINGS.items():
        assert stem(word) == usual
        assert SPELLINGS.get(usual, usual) == usual, word


def test_words_that_say_little_are_no_constraints() -> None:
    assert not WEAK & (FREE | CONSTRAINTS.keys())


def test_all_constraints_fit_a_mask_and_what_is_implied_is_one_of_them() -> None:
    assert len(ALL_CONSTRAINTS) == len(set(ALL_CONSTRAINTS)) <= BITS
    assert set(CONSTRAINTS.values()) | set(LOW.values()) <= set(ALL_CONSTRAINTS)
    assert {*IMPLIED, *(implied for more in IMPLIED.values() for implied in more)} <= set(ALL_CONSTRAINTS)


def test_what_is_implied_at_all_is_implied_at_once() -> None:
    for constraint, implied in IMPLIED.items():
        for one in implied:
            assert set(IMPLIED.get(one, ())) <= {*implied, constraint}, (constraint, one)
