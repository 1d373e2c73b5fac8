"""From names to products, or to none, on small catalogs with a real encoder."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from linking_parts import JUDGE, MiniLm, embed, product, unfitted

from skutune.config.schema import ClassifyConfig, LinkConfig
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.errors import InputError
from skutune.linking import Linked, Linker, Ranked, fit_linker, query_text
from skutune.linking.features import FEATURES
from skutune.records import Product

STRANGERS = ["spaceship", "car battery", "haircut", "laptop", "winter tires", "guitar strings", "life insurance"]


def links(linker: Linker, encoder: MiniLm, *names: str, expansion: str | None = None) -> list[Linked]:
    vectors = encoder.encode([query_text(name, expansion) for name in names])
    return linker.link(names, vectors, LinkConfig())


def ids(linked: Linked) -> list[str]:
    return [candidate.id for candidate in linked.candidates]


def test_each_products_own_name_is_that_product(linker: Linker, groceries: list[Product], encoder: MiniLm) -> None:
    for one, linked in zip(groceries, links(linker, encoder, *(one.name for one in groceries)), strict=True):
        assert ids(linked) == [one.id]
        assert linked.best_p >= 0.99


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("baked beans", "32717"),
        ("Baked Bean", "32717"),
        ("Beans, Baked", "32717"),
        ("coleslaw", "43962"),
        ("Creamy Coleslaw", "43962"),
        ("Mac and Cheese", "42450"),
        ("Steak Fries", "43451"),
        ("fresh green beans", "14992"),
        ("Homemade Mashed Potatoes", "25407"),
    ],
)
def test_a_shoppers_words_find_the_product(linker: Linker, encoder: MiniLm, name: str, expected: str) -> None:
    (linked,) = links(linker, encoder, name)
    assert ids(linked)[:1] == [expected]
    assert linked.best_p >= 0.9


@pytest.mark.parametrize("name", STRANGERS)
def test_what_the_catalog_lacks_has_no_close_product(linker: Linker, encoder: MiniLm, name: str) -> None:
    (linked,) = links(linker, encoder, name)
    assert linked.candidates == []
    assert linked.best_p < 0.9


@pytest.mark.parametrize("name", ["bean bag", "steak knife", "gravy boat", "salad spinner", "tea kettle"])
def test_another_thing_that_shares_a_products_word_has_no_close_product(
    linker: Linker, encoder: MiniLm, name: str
) -> None:
    (linked,) = links(linker, encoder, name)
    assert linked.candidates == []
    assert linked.best_p < 0.5


def test_an_expansion_neither_loses_a_product_nor_finds_one_for_a_stranger(linker: Linker, encoder: MiniLm) -> None:
    (known,) = links(linker, encoder, "Coleslaw", expansion="A salad of shredded cabbage and carrots in mayonnaise.")
    (stranger,) = links(linker, encoder, "Car battery", expansion="A rechargeable battery that starts a car's engine.")
    assert ids(known) == ["43962"]
    assert stranger.candidates == []


def test_a_constraint_that_no_product_states_has_no_close_product(linker: Linker, encoder: MiniLm) -> None:
    assert [ids(linked) for linked in links(linker, encoder, "gluten-free bread rolls", "vegan gravy")] == [[], []]


@pytest.mark.parametrize("count", [1, 2])
def test_a_tiny_catalog_links_its_products_and_refuses_the_rest(encoder: MiniLm, count: int) -> None:
    catalog = [product("a1", "Baked Beans"), product("b2", "Ginger Ale")][:count]
    linker, figures = fit_linker(catalog, embed(catalog, encoder), ClassifyConfig(), encoder)
    assert ids(links(linker, encoder, "baked beans")[0]) == ["a1"]
    assert [ids(linked) for linked in links(linker, encoder, *STRANGERS)] == [[]] * len(STRANGERS)
    assert figures["classifier"]["projection"] == "identity"


def test_products_of_one_name_are_ties(encoder: MiniLm) -> None:
    catalog = [
        product("1", "Olive Oil", aisle="oils"),
        product("2", "Olive Oil", aisle="organic"),
        product("3", "Extra Virgin Olive Oil", aisle="oils"),
    ]
    linker, _ = fit_linker(catalog, embed(catalog, encoder), ClassifyConfig(), encoder)
    (linked,) = links(linker, encoder, "olive oils")
    assert sorted(ids(linked)) == ["1", "2"]
    assert linked.candidates[0].p == linked.candidates[1].p


def test_linking_is_pure(linker: Linker, encoder: MiniLm) -> None:
    names = ["green beans", "haircut", "biscuits", "potato salad"]
    together = links(linker, encoder, *names)
    assert together == links(linker, encoder, *names)
    for name, linked in zip(names, together, strict=True):
        (alone,) = links(linker, encoder, name)
        assert ids(alone) == ids(linked)
        assert alone.best_p == pytest.approx(linked.best_p, abs=1e-5)


def test_top_tells_p_whatever_the_wanted_precision(linker: Linker, encoder: MiniLm) -> None:
    (best,) = linker.top(["haircut"], encoder.encode(["haircut"]), 3)
    assert len(best) == 3
    assert [candidate.p for candidate in best] == sorted((candidate.p for candidate in best), reverse=True)
    assert best[0].p < 0.9


def test_a_product_without_vectors_gets_one_of_its_name_and_strays_are_counted(
    groceries: list[Product], encoder: MiniLm
) -> None:
    stray = embed([product("gone", "Ketchup")], encoder)
    linker, figures = fit_linker(groceries, [*embed(groceries[1:], encoder), *stray], ClassifyConfig(epochs=0), encoder)
    assert figures["strays"] == len(stray)
    assert ids(links(linker, encoder, "Baked Beans")[0]) == ["32717"]
    assert links(linker, encoder, "Ketchup")[0].candidates == []


def test_an_empty_catalog_is_refused(encoder: MiniLm) -> None:
    with pytest.raises(InputError, match="empty"):
        fit_linker([], [], ClassifyConfig(), encoder)


# What is decided once the candidates are judged; the words' own linker needs no model.

BEANS = [
    product("bean", "Baked Bean"),
    product("beans", "Baked Beans"),
    product("turned", "Beans, Baked"),
    product("brand", "Hill Farm Baked Beans"),
    product("green", "Green Beans"),
    product("oil", "Olive Oil"),
]


def ranked(name: str) -> tuple[Linker, Ranked]:
    linker = unfitted(BEANS)
    (each,) = linker.rank([name], ScriptedEncoder().encode([name]))
    return linker, each


def judged(odds: list[float], literal: list[int] | None = None) -> Ranked:
    """Candidates as if judged so, best first."""
    values, levels = np.array(odds, dtype=np.float32), np.array(literal or [0] * len(odds))
    p = np.where(levels > 0, 0.99, 1 / (1 + np.exp(-values))).astype(np.float32)
    return Ranked(np.arange(len(odds)), values, p, levels, np.zeros((len(odds), len(FEATURES)), dtype=np.float32))


def test_the_very_name_comes_before_its_other_forms_and_those_before_the_rest() -> None:
    linker, each = ranked("Baked Beans")
    order = [linker.ids[place] for place in each.products.tolist()]
    assert order[0] == "beans"
    assert set(order[1:3]) == {"bean", "turned"}
    assert each.literal.tolist()[:4] == [2, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("baked beans.", ["beans"]), ("BAKED BEAN", ["bean"]), ("beans, baked", ["turned"]), ("olive oils", ["oil"])],
)
def test_what_is_literally_asked_for_wins(name: str, expected: list[str]) -> None:
    linker, each = ranked(name)
    linked = linker.choose(each, LinkConfig())
    assert ids(linked) == expected
    assert linked.best_p >= 0.99


def test_a_literal_product_competes_with_its_like_alone_however_good_the_others_look() -> None:
    linker = unfitted(BEANS)
    linked = linker.choose(judged([-3, -3.1, 9], [1, 1, 0]), LinkConfig())
    assert ids(linked) == ["bean", "beans"]


def test_near_ties_are_kept_and_worse_products_are_not() -> None:
    linker, odds = unfitted(BEANS), [5.0, 5.0 - JUDGE.margin / 2, 5.0 - JUDGE.margin * 2]
    assert ids(linker.choose(judged(odds), LinkConfig())) == ["bean", "beans"]
    assert ids(linker.choose(judged(odds), LinkConfig(candidates=1))) == ["bean"]


def test_the_number_of_near_ties_bounds_their_names_and_leaves_out_no_product_of_one_name() -> None:
    twins = [product(f"oil{number}", "Olive Oil" if number % 2 else "OLIVE OIL.") for number in range(15)]
    linker = unfitted([*twins, product("bean", "Baked Bean"), product("nut", "Nut")])
    equals = judged([5.0] * len(linker.ids))
    assert len(ids(linker.choose(equals, LinkConfig(candidates=1)))) == 15
    assert ids(linker.choose(equals, LinkConfig(candidates=2)))[15:] == ["bean"]
    (literal,) = linker.rank(["olive oils"], ScriptedEncoder().encode(["olive oils"]))
    assert sorted(ids(linker.choose(literal, LinkConfig(candidates=10)))) == sorted(one.id for one in twins)


def test_a_greater_wanted_precision_links_less_and_never_another_product() -> None:
    linker, each = unfitted(BEANS), judged([1.5, 1.4])
    kept = [
        ids(linker.choose(each, LinkConfig(precision=precision))) for precision in (0.1, 0.5, 0.7, 0.9, 0.95, 0.999)
    ]
    assert kept[0] == ["bean", "beans"]
    assert kept[-1] == []
    assert all(set(more) >= set(less) for more, less in pairwise(kept))


def test_p_is_told_where_no_product_is_close() -> None:
    linked = unfitted(BEANS).choose(judged([-1.0, -2.0]), LinkConfig())
    assert linked.candidates == []
    assert linked.best_p == pytest.approx(1 / (1 + np.e), abs=1e-3)


def test_evidence_is_told_by_name_and_only_what_there_is() -> None:
    linker, each = ranked("baked beans")
    said = linker.evidence_of(each, 0)
    assert said["literal"] == said["query_coverage"] == 1
    assert set(said) <= set(FEATURES)
    assert all(said.values())
    stranger = linker.evidence_of(ranked("spaceship")[1], 0)
    assert "literal" not in stranger
    assert stranger["unknown"] == 1


def test_top_tells_as_many_as_there_are() -> None:
    vectors = ScriptedEncoder().encode(["beans", "oil"])
    assert [len(best) for best in unfitted(BEANS).top(["beans", "oil"], vectors, 100)] == [len(BEANS)] * 2
    assert [len(best) for best in unfitted(BEANS).top(["beans", "oil"], vectors, 2)] == [2, 2]


def _jerky(dog_food: bool, encoder: MiniLm) -> tuple[Linker, Ranked]:
    words = [f"{one} {two}" for one in ("Big", "Best", "Tasty", "Dry") for two in ("Teriyaki", "Smoky", "Sweet", "Hot")]
    snacks = [product(str(number), f"{word} Beef Jerky", aisle="jerky") for number, word in enumerate(["Soft", *words])]
    toys = [product(str(50 + n), f"{word} Squeaky Toy", aisle="dogs") for n, word in enumerate(("Red", "Blue", "Big"))]
    linker = unfitted([*snacks, product("x", "Beef Jerky", aisle="dogs" if dog_food else "jerky"), *toys], encoder)
    (ranked,) = linker.rank(["beef jerky"], encoder.encode(["beef jerky"]))
    return linker, ranked


@pytest.mark.parametrize(("dog_food", "privileged"), [(True, False), (False, True)])
def test_a_bare_name_on_a_shelf_where_the_thing_is_not_loses_its_privilege(
    monkeypatch: pytest.MonkeyPatch, encoder: MiniLm, dog_food: bool, privileged: bool
) -> None:
    monkeypatch.setattr("skutune.linking.linker.DISPLACED", -9.0)  # however little the others are better
    monkeypatch.setattr("skutune.linking.linker.OUTSIDER", 1.0)  # and commoner
    linker, ranked = _jerky(dog_food, encoder)
    literal = {linker.ids[row]: bool(level > 0) for row, level in zip(ranked.products, ranked.literal, strict=True)}
    assert literal["x"] == privileged
    assert not literal["0"]
    place = linker.ids.index("x") == ranked.products
    assert ("literal" in linker.evidence_of(ranked, int(np.flatnonzero(place)[0]))) == privileged


def test_a_bare_name_stays_privileged_where_the_others_are_hardly_better(encoder: MiniLm) -> None:
    linker, ranked = _jerky(True, encoder)
    assert linker.ids[ranked.products[0]] == "x"
    assert ranked.literal[0] == 2
