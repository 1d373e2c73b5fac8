"""What the words of a name say."""

from __future__ import annotations

import pytest

from skutune.linking.names.phrase import MAX_TERMS, read_phrase


def head(name: str) -> str:
    phrase = read_phrase(name)
    return phrase.terms[phrase.head]


def literally(one: str, other: str) -> bool:
    """Whether two names are the same up to plural, spelling and the order about a comma."""
    first, second = read_phrase(one), read_phrase(other)
    forms = {first.signature, first.inverted_signature} & {second.signature, second.inverted_signature}
    return bool(forms - {""})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Baked Beans", "baked bean"),
        ("Cookies", "cookie"),
        ("Tomatoes", "tomato"),
        ("Cherries", "cherry"),
        ("Pies", "pie"),
        ("Quiches", "quiche"),
        ("Sandwiches", "sandwich"),
        ("Loaves", "loaf"),
        ("Molasses", "molasses"),
        ("Treacle", "molasses"),
        ("Yoghurt", "yogurts"),
        ("Doughnuts", "donut"),
        ("BBQ Sauce", "barbecue sauces"),
        ("Macaroni & Cheese", "macaroni and cheese"),
        ("Mac and Cheese", "Macaroni & Cheese"),
        ("Children's Vitamins", "children vitamin"),
        ("Sugar-Free Gum", "gum, sugar free"),
        ("Decaf Coffee", "Decaffeinated Coffee"),
        ("Garbanzo Beans", "chick peas"),
        ("ＢＡＫＥＤ Beans", "baked beans"),
    ],
)
def test_plural_spelling_and_stop_words_do_not_make_another_name(one: str, other: str) -> None:
    assert read_phrase(one).signature == read_phrase(other).signature


@pytest.mark.parametrize(
    ("one", "other"),
    [("Chocolate Milk", "Milk Chocolate"), ("Hummus", "Hum"), ("Crackers", "Nut-Free Crackers"), ("Peas", "Pears")],
)
def test_other_words_order_or_constraints_make_another_name(one: str, other: str) -> None:
    assert not literally(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Beans, Baked", "Baked Beans"), ("Tomatoes, Diced", "diced tomato"), ("Beans; Baked", "Baked Beans")],
)
def test_a_comma_turns_the_order_round(one: str, other: str) -> None:
    assert literally(one, other)
    assert head(one) == head(other)


@pytest.mark.parametrize("turned", ["Nuts, Chocolate, Milk", "Chocolate, Nuts Milk", "Chocolate Nuts Milk"])
def test_more_than_one_comma_is_a_list_and_turns_nothing_round(turned: str) -> None:
    assert read_phrase("Milk, Chocolate, Nuts").inverted_signature == ""
    assert not literally("Milk, Chocolate, Nuts", turned)


def test_the_same_words_in_any_order_are_the_same_bag() -> None:
    assert read_phrase("Chocolate Milk").bag == read_phrase("milk chocolates").bag
    assert read_phrase("Chocolate Milk").bag != read_phrase("sugar-free chocolate milk").bag


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Smart Ones Mini Rigatoni With Vodka Cream Sauce", "rigatoni"),
        ("Tomatoes, Diced", "tomato"),
        ("Orange Juice 12 oz", "juice"),
        ("Crackers - Original", "cracker"),
        ("Soup (family size)", "soup"),
        ("Fresh", "fresh"),
    ],
)
def test_the_head_says_what_the_thing_is(name: str, expected: str) -> None:
    assert head(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bread box", "box"), ("Camera Bag", "bag"), ("water bottle", "bottle"), ("Trash Can", "can"), ("Jar", "jar")],
)
def test_a_thing_that_holds_another_is_a_thing_of_its_own(name: str, expected: str) -> None:
    assert head(name) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bag of Chips", "chips"),
        ("a can of baked beans", "Baked Beans"),
        ("Tins of Tuna", "tuna"),
        ("Potatoes (bag)", "potatoes"),
        ("Chips - Box", "chips"),
        ("Green Tea Bags", "green tea"),
    ],
)
def test_what_a_thing_comes_in_says_nothing(one: str, other: str) -> None:
    assert read_phrase(one).signature == read_phrase(other).signature


def test_a_size_is_not_what_a_thing_is() -> None:
    assert head("T-Shirt, size M") == head("T-shirt size M") == "shirt"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("<b>Baked Beans</b>", "baked beans"),
        ('<a href="x">Baked</a> Beans<br/>', "baked beans"),
        ("Macaroni &amp; Cheese", "macaroni & cheese"),
        ("Ben &amp; Jerry&#39;s", "Ben & Jerry's"),
    ],
)
def test_markup_is_no_word(name: str, expected: str) -> None:
    assert read_phrase(name).signature == read_phrase(expected).signature


def test_signs_that_only_look_like_markup_stay() -> None:
    assert read_phrase("Bars <100 Calories> Oats").terms == ("bar", "100", "calory", "oat")


@pytest.mark.parametrize(
    "name", ["", "   ", "!!!", "with", "牛奶", "حليب", "Μέλι", "🍕", "decaf", ", beans", "-", "'s", "\0"]
)
def test_odd_names_are_read_without_an_error(name: str) -> None:
    phrase = read_phrase(name)
    assert len(phrase.terms) == len(phrase.surface)
    assert -1 <= phrase.head < max(len(phrase.terms), 1)


def test_other_scripts_have_words_as_well() -> None:
    assert read_phrase("纯 牛奶").terms == ("纯", "牛奶")
    assert read_phrase("ΜΕΛΙ").signature == read_phrase("μελι").signature
    assert read_phrase("🍕 Pizza").signature == read_phrase("pizza").signature


@pytest.mark.parametrize("name", ["bean " * 10_000, "a" * 1_000_000, "bean, " * 10_000, "<" * 100_000, "&" * 100_000])
def test_a_name_without_end_is_read_by_its_beginning(name: str) -> None:
    assert len(read_phrase(name).terms) <= MAX_TERMS
    assert len("".join(read_phrase(name).terms)) <= 1000


def test_a_long_first_part_leaves_the_head_where_it_is_read() -> None:
    phrase = read_phrase(f"{'baked ' * 40}beans with pork")
    assert len(phrase.terms) == phrase.main == MAX_TERMS
    assert phrase.head == MAX_TERMS - 1
