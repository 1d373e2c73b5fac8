"""What a question demands is read from its words and checked against what products say of themselves."""

import pytest

from skutune.evaluation.constraints import ConstraintReader, pairing_target, stated
from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.names.phrase import read_phrase
from skutune.records import Product

NAMES = ("Nut Free Crackers", "Peanut Crackers", "Tortilla Chips", "Blue Corn Tortilla Chips", "Salsa", "Vegan Burger")


@pytest.fixture(scope="module")
def demanding():
    products = [Product(str(place), name, {}, "k") for place, name in enumerate(NAMES)]
    return ConstraintReader(LexicalIndex.build(products), [product.id for product in products])


@pytest.mark.parametrize(
    ("question", "constraints"),
    [
        ("What are some gluten-free, dairy-free snacks?", {"gluten-free", "dairy-free"}),
        ("I am allergic to nuts and dairy, what can I buy?", {"nut-free", "dairy-free"}),
        ("Which crackers suit a child with a peanut allergy?", {"peanut-free"}),
        ("We can't eat eggs; what is for breakfast?", {"egg-free"}),
        ("I avoid sugar. What can I drink?", {"sugar-free"}),
        ("My guests are vegan, what can I serve?", {"vegan"}),
        ("What foods fit a keto diet?", {"keto"}),
        ("I have no milk, what can I put in my coffee?", set()),
        ("What goes well with a chicken fried steak?", set()),
    ],
)
def test_constraints_are_found_in_the_words_of_shoppers(question, constraints):
    assert read_phrase(stated(question)).constraints == constraints


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("What goes well with tortilla chips?", "tortilla chips"),
        ("What can I serve alongside my grilled salmon for dinner?", "grilled salmon"),
        ("What would pair nicely with a glass of red wine?", "red wine"),
        ("What can I use instead of butter in a cake?", "butter"),
        ("What is a good substitute for sour cream?", "sour cream"),
        ("What should I cook tonight?", ""),
    ],
)
def test_what_a_question_pairs_or_replaces_is_found(question, thing):
    assert pairing_target(question) == thing


def test_a_product_that_does_not_state_a_constraint_breaks_it(demanding):
    demands = demanding.of("Which crackers are safe with a nut allergy?")
    assert demands.constraints == ("nut-free",)
    assert demands.violations(["0", "1", "999"]) == ["1"]


def test_without_a_constraint_nothing_is_broken(demanding):
    assert demanding.of("Which crackers go with salsa?").violations(["0", "1"]) == []


def test_answering_with_the_thing_itself_repeats_the_question(demanding):
    demands = demanding.of("What goes well with tortilla chips?")
    assert demands.repeated == "tortilla chips"
    assert demands.repeats(["4", "3"])
    assert not demands.repeats(["4", "999"])


def test_what_the_shop_does_not_sell_cannot_be_repeated(demanding):
    demands = demanding.of("What goes well with grilled salmon?")
    assert (demands.repeated, demands.repeats(["2"])) == ("", False)
