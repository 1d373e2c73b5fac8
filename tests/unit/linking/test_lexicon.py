"""Synonyms and spellings in names, and the lexicon file that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from skutune.errors import InputError
from skutune.linking.names import lexicon
from skutune.linking.names.lexicon import LEXICON, load_lexicon
from skutune.linking.names.phrase import in_usual_words, read_phrase
from skutune.linking.names.stem import stem

ENGLISH = Path(lexicon.__file__).with_name("en.toml")

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


def test_usual_words_are_not_replaced_again() -> None:
    for phrase in LEXICON.synonyms:
        usual = in_usual_words(phrase)
        assert in_usual_words(usual) == usual


def test_every_entry_has_the_form_in_which_it_is_looked_up() -> None:
    for word in {*LEXICON.constraint_of, *LEXICON.substances, *LEXICON.low_words, *LEXICON.low_constraint_of}:
        assert stem(word) == word or word in LEXICON.synonym_rules, word
    for parts, _ in (rule for rules in LEXICON.synonym_rules.values() for rule in rules):
        assert not set(LEXICON.stop_words).intersection(parts), parts
        assert parts == tuple(stem(part) for part in parts), parts


def test_a_usual_spelling_is_not_a_variant_of_another_one() -> None:
    for variant, usual in LEXICON.spelling_of.items():
        assert stem(variant) == usual
        assert LEXICON.spelling_of.get(usual, usual) == usual, variant


def test_weak_words_are_not_constraints() -> None:
    assert not set(LEXICON.weak_words) & (set(LEXICON.substances) | LEXICON.constraint_of.keys())


def test_all_constraints_fit_a_bit_mask() -> None:
    assert len(LEXICON.constraints) == len(set(LEXICON.constraints)) <= BITS


def test_implied_constraints_are_listed_transitively() -> None:
    for constraint, implied in LEXICON.implied.items():
        for one in implied:
            assert set(LEXICON.implied.get(one, ())) <= {*implied, constraint}, (constraint, one)


def test_a_lexicon_is_read_once() -> None:
    assert load_lexicon(ENGLISH) is load_lexicon(ENGLISH)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("stop_words = [", "stopwords = [", "stopwords: Extra inputs"),
        ("stop_words = [", "stopwords = [", "stop_words: Field required"),
        ('no_words = ["no",', 'no_words = ["No",', "no_words: 'No' must be in lower case"),
        ('no_words = ["no",', 'no_words = ["no", "no",', "no_words: 'no' is listed twice"),
        ('no_words = ["no",', 'no_words = [false, "no",', "no_words.0: Input should be a valid string"),
        ('gray = ["grey"]', "gray = []", "spellings.gray: Value should have at least 1 item"),
        ('gray = ["grey"]', 'gray = ["grey", "mice"]', "spellings: 'mice' is listed under both 'gray' and 'mouse'"),
        ('"wheat-free"]', '"wheet-free"]', "implied: 'wheet-free' is not a constraint"),
        ('gray = ["grey"]', 'gray = ["grey"]\ngray = ["grey"]', "Cannot overwrite a value (at line"),
        ('gray = ["grey"]', 'gray = "grey', "cannot be read: "),
    ],
)
def test_an_error_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = ENGLISH.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "xx.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_lexicon(path)
    assert str(path) in str(error.value)
    assert expected in str(error.value)


def test_a_missing_lexicon_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"xx\.toml: cannot be read"):
        load_lexicon(tmp_path / "xx.toml")
