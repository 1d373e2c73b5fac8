"""What a name forbids is never lost: a product that does not meet it is no candidate."""

from __future__ import annotations

import numpy as np
import pytest
from linking_parts import product, unfitted

from skutune.config.schema import LinkConfig
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.linking import Linker
from skutune.linking.features import FEATURES
from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.phrase import read_phrase, satisfied, stated_by


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("Nut-Free Crackers", "nut-free"),
        ("nutfree crackers", "nut-free"),
        ("crackers, nut free", "nut-free"),
        ("crackers without nuts", "nut-free"),
        ("crackers free from nuts", "nut-free"),
        ("Free of Gluten Bread", "gluten-free"),
        ("decaf espresso", "caffeine-free"),
        ("caffeine-free cola", "caffeine-free"),
        ("No Sugar Added Applesauce", "unsweetened"),
        ("no added sugar applesauce", "unsweetened"),
        ("sugarfree gum", "sugar-free"),
        ("zero sugar cola", "sugar-free"),
        ("unsweetened almond milk", "unsweetened"),
        ("Non-Dairy Creamer", "dairy-free"),
        ("plant-based burger", "vegan"),
        ("meatless meatballs", "vegetarian"),
        ("low-fat yogurt", "low-fat"),
        ("lowfat yogurt", "low-fat"),
        ("reduced fat yogurt", "low-fat"),
        ("nonfat yogurt", "fat-free"),
        ("skimmed milk", "fat-free"),
        ("semi-skimmed milk", "low-fat"),
        ("reduced sodium soy sauce", "low-salt"),
        ("Less Salt Broth", "low-salt"),
        ("sodium-free broth", "salt-free"),
        ("low calorie drink", "low-calorie"),
        ("zero calorie soda", "calorie-free"),
        ("non alcoholic beer", "alcohol-free"),
        ("unscented soap", "fragrance-free"),
        ("halal chicken", "halal"),
    ],
)
def test_a_constraint_is_read_however_it_is_said_and_is_no_term(name: str, constraint: str) -> None:
    phrase = read_phrase(name)
    assert phrase.constraints == {constraint}
    assert not {"free", "no", "added", "decaf", "plant", "based", "low", "reduced"}.intersection(phrase.terms)


def test_several_constraints_are_all_read() -> None:
    assert read_phrase("low-fat sugar-free vegan yogurt").constraints == {"low-fat", "sugar-free", "vegan"}
    assert read_phrase("peanut-free and gluten-free granola").constraints == {"peanut-free", "gluten-free"}


@pytest.mark.parametrize(
    "name", ["Cage Free Eggs", "Free Range Chicken", "Light Cream", "Peanut Butter", "Salted Nuts"]
)
def test_what_only_sounds_like_a_constraint_is_none(name: str) -> None:
    assert read_phrase(name).constraints == frozenset()


def test_a_name_of_constraints_alone_still_has_a_term() -> None:
    assert read_phrase("gluten free").terms == ("gluten-free",)
    assert read_phrase("vegan, vegetarian").terms == ("vegan", "vegetarian")


def test_what_is_vegan_is_dairy_free_but_not_the_other_way_round() -> None:
    assert "dairy-free" in satisfied(frozenset({"vegan"}))
    assert "vegan" not in satisfied(frozenset({"dairy-free"}))


def test_an_aisle_for_either_of_two_promises_only_what_both_imply() -> None:
    assert stated_by("vegan vegetarian") == {"vegetarian"}
    assert stated_by("soy lactosefree") == {"lactose-free"}
    assert stated_by("sugar free gluten free") == frozenset()
    assert stated_by("canned goods") == frozenset()


CATALOG = [
    product("peanut", "Peanut Crackers", aisle="crackers"),
    product("plain", "Crackers", aisle="crackers"),
    product("nut-free", "Nut Free Crackers", aisle="crackers"),
    product("burger", "Veggie Burger", aisle="vegan vegetarian"),
    product("vegan", "Vegan Cheese Slices", aisle="cheese"),
    product("cheese", "Cheese Slices", aisle="cheese"),
    product("lactose", "Cheese Sticks", aisle="lactose free"),
    product("decaf", "Decaf Coffee", aisle="coffee"),
    product("coffee", "Coffee", aisle="coffee"),
]


@pytest.fixture(scope="module")
def shop() -> Linker:
    return unfitted(CATALOG)


def candidates(shop: Linker, name: str) -> set[str]:
    ((found, _),) = shop.evidence.of([name], ScriptedEncoder().encode([name]))
    return {shop.ids[place] for place in found.tolist()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nut-free crackers", {"nut-free"}),
        ("peanut-free crackers", {"nut-free"}),
        ("crackers without nuts", {"nut-free"}),
        ("vegetarian burger", {"burger", "vegan"}),
        ("vegan burger", {"vegan"}),
        ("dairy-free cheese slices", {"vegan"}),
        ("lactose-free cheese", {"vegan", "lactose"}),
        ("decaf coffee", {"decaf"}),
        ("gluten-free crackers", set()),
        ("vegan decaf coffee", set()),
    ],
)
def test_candidates_are_only_those_that_state_or_imply_it(shop: Linker, name: str, expected: set[str]) -> None:
    assert candidates(shop, name) == expected


def test_without_a_constraint_everything_may_be_a_candidate(shop: Linker) -> None:
    assert candidates(shop, "crackers") == {one.id for one in CATALOG}


def test_a_product_that_does_not_meet_a_constraint_is_none_however_near(shop: Linker) -> None:
    vector = ScriptedEncoder().encode(["Peanut Crackers"])
    (linked,) = shop.link(["nut-free peanut crackers"], vector, LinkConfig(precision=0.01))
    assert [candidate.id for candidate in linked.candidates] == ["nut-free"]
    (top,) = shop.top(["gluten-free peanut crackers"], vector, 10)
    assert top == []


def test_those_that_do_not_meet_it_leave_no_room_taken_by_them() -> None:
    crowd = [product(str(number), f"Crackers {number}") for number in range(500)]
    shop = unfitted([*crowd, product("far", "Vegan Quinoa Salad")])
    assert candidates(shop, "dairy-free crackers") == {"far"}


def test_no_candidates_are_no_close_product(shop: Linker) -> None:
    (linked,) = shop.link(["gluten-free crackers"], ScriptedEncoder().encode(["crackers"]), LinkConfig(precision=0.01))
    assert (linked.candidates, linked.best_p) == ([], 0)


def test_a_constraint_binds_its_own_name_of_a_batch_alone(shop: Linker) -> None:
    names = ["crackers", "nut-free crackers", "coffee", "decaf coffee"]
    together = [set(found.tolist()) for found, _ in shop.evidence.of(names, ScriptedEncoder().encode(names))]
    assert [len(found) for found in together] == [len(CATALOG), 1, len(CATALOG), 1]


@pytest.mark.parametrize("constraint", LEXICON.constraints)
def test_every_constraint_is_told_from_every_other(constraint: str) -> None:
    catalog = [product(other, f"{other} crackers") for other in LEXICON.constraints]
    index = LexicalIndex.build(catalog)
    forbidden = index.violating(index.query(f"{constraint} crackers"))
    assert forbidden is not None
    allowed = {catalog[place].id for place in np.flatnonzero(~forbidden).tolist()}
    assert constraint in allowed
    assert allowed == {other for other in LEXICON.constraints if constraint in satisfied(frozenset({other}))}


@pytest.mark.parametrize("substance", sorted(LEXICON.substances))
def test_every_substance_may_be_forbidden_in_one_word_or_two(substance: str) -> None:
    joined, apart, without = (
        read_phrase(form).constraints for form in (f"{substance}free x", f"{substance}-free x", f"no {substance} x")
    )
    assert joined == apart == without
    assert len(joined) == 1


def test_a_product_that_states_more_is_evidence_against(shop: Linker) -> None:
    ((found, features),) = shop.evidence.of(["cheese slices"], ScriptedEncoder().encode(["cheese slices"]))
    column = features[:, FEATURES.index("constraint_extra")].tolist()
    extra = dict(zip([shop.ids[place] for place in found.tolist()], column, strict=True))
    assert extra["vegan"] == 1
    assert extra["cheese"] == extra["lactose"] == 0


def test_other_words_for_a_constraint_make_the_same_name() -> None:
    index = LexicalIndex.build([product("1", "Fat-Free Milk")])
    assert index.literal(index.query("skimmed milk")).tolist() == [0]
    assert index.literal(index.query("semi-skimmed milk")).tolist() == []
