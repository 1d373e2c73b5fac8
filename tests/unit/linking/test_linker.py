"""From names to products, or to none, on small catalogs with a real encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from linking_parts import MiniLm, embed, product

from skutune.config import ClassifyConfig, LinkConfig
from skutune.errors import InputError
from skutune.linking import Linked, Linker, fit, query_text
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
    linker, figures = fit(catalog, embed(catalog, encoder), ClassifyConfig(), encoder)
    assert ids(links(linker, encoder, "baked beans")[0]) == ["a1"]
    assert [ids(linked) for linked in links(linker, encoder, *STRANGERS)] == [[]] * len(STRANGERS)
    assert figures["classifier"]["projection"] == "identity"


def test_products_of_one_name_are_ties(encoder: MiniLm) -> None:
    catalog = [
        product("1", "Olive Oil", aisle="oils"),
        product("2", "Olive Oil", aisle="organic"),
        product("3", "Extra Virgin Olive Oil", aisle="oils"),
    ]
    linker, _ = fit(catalog, embed(catalog, encoder), ClassifyConfig(), encoder)
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


def test_no_names_have_no_links(linker: Linker) -> None:
    assert linker.link([], np.zeros((0, linker.dimension), dtype=np.float32), LinkConfig()) == []


def test_a_saved_linker_links_the_same(linker: Linker, encoder: MiniLm, tmp_path: Path) -> None:
    linker.save(tmp_path / "linker")
    loaded = Linker.load(tmp_path / "linker")
    for name in ("baked beans", "biscuits", "haircut"):
        before, after = links(linker, encoder, name)[0], links(loaded, encoder, name)[0]
        assert ids(before) == ids(after)
        assert before.best_p == pytest.approx(after.best_p, abs=0.01)


def test_a_folder_without_a_linker_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classify"):
        Linker.load(tmp_path)


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        (np.full((1, 384), np.nan, dtype=np.float32), "NaN"),
        (np.ones((1, 12), dtype=np.float32), "384"),
        (np.ones((2, 384), dtype=np.float32), "1 names"),
    ],
)
def test_bad_vectors_are_refused(linker: Linker, vectors: np.ndarray, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        linker.link(["beans"], vectors, LinkConfig())


def test_a_product_without_vectors_gets_one_of_its_name_and_strays_are_counted(
    groceries: list[Product], encoder: MiniLm
) -> None:
    stray = embed([product("gone", "Ketchup")], encoder)
    linker, figures = fit(groceries, [*embed(groceries[1:], encoder), *stray], ClassifyConfig(epochs=0), encoder)
    assert figures["strays"] == len(stray)
    assert ids(links(linker, encoder, "Baked Beans")[0]) == ["32717"]
    assert links(linker, encoder, "Ketchup")[0].candidates == []


def test_an_empty_catalog_is_refused(encoder: MiniLm) -> None:
    with pytest.raises(InputError, match="empty"):
        fit([], [], ClassifyConfig(), encoder)
