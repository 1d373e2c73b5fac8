"""Which products are candidates for a name, and what their kinds and neighbours say of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linking_parts import product, unfitted

from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.linking import Linker
from skutune.linking.features import FEATURES, NEAREST, WORDED, Categories
from skutune.linking.vectors.classifier import unit
from skutune.linking.vectors.cosine_scale import CosineScale, Scale

PLAIN = CosineScale(Scale(0, 1), Scale(0, 1))
KINDS = ("tea", "soap", "pens")


def shelves(each: int = 5) -> tuple[list[str], np.ndarray]:
    """Aisles of products, and vectors that lie about the aisle's own axis."""
    generator = np.random.default_rng(0)
    aisles = [kind for kind in KINDS for _ in range(each)]
    vectors = 5 * np.eye(len(KINDS))[[KINDS.index(aisle) for aisle in aisles]]
    return aisles, unit((vectors + 0.3 * generator.normal(size=vectors.shape)).astype(np.float32))


def kinds_of(**columns: list[str]) -> Categories:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    _, vectors = shelves()
    return Categories.build([product(str(at), f"thing {at}", **row) for at, row in enumerate(rows)], vectors)


def test_columns_that_group_products_are_kinds_and_others_are_not() -> None:
    aisles, _ = shelves()
    count = len(aisles)
    kinds = kinds_of(aisle=aisles, sku=[str(at) for at in range(count)], shop=["one"] * count)
    assert len(kinds.codes) == 1
    assert len(kinds.centres) == len(KINDS)
    assert len({int(code) for code in kinds.codes[0][:5]}) == 1


def test_a_candidate_of_an_aisle_that_is_far_off_is_behind() -> None:
    aisles, _ = shelves()
    asked = np.array([[1, 0, 0]], dtype=np.float32)
    behind = kinds_of(aisle=aisles).category_gap(asked, np.array([3]), np.array([0, 5, 10]), PLAIN)
    assert behind[0] == pytest.approx(0, abs=1e-6)
    assert behind[1] > 0.5
    assert behind[2] > 0.5


def test_what_is_behind_in_one_column_of_two_is_half_as_far_behind() -> None:
    aisles, _ = shelves()
    departments = ["kitchen" if aisle == "tea" else "other" for aisle in aisles]
    asked, counts, products = np.array([[1, 0, 0]], dtype=np.float32), np.array([1]), np.array([5])
    one = kinds_of(aisle=aisles).category_gap(asked, counts, products, PLAIN)
    other = kinds_of(department=departments).category_gap(asked, counts, products, PLAIN)
    both = kinds_of(aisle=aisles, department=departments).category_gap(asked, counts, products, PLAIN)
    assert both[0] == pytest.approx((one[0] + other[0]) / 2, abs=1e-5)


def test_candidates_vote_for_their_kind_the_nearer_the_more() -> None:
    aisles, _ = shelves()
    votes = kinds_of(aisle=aisles).votes(
        np.array([4]), np.array([0, 1, 5, 10]), np.array([1, 1, 1, -1], dtype=np.float32), np.zeros(4, dtype=np.float32)
    )
    assert votes[:, 0].tolist() == pytest.approx([1, 1, 0.5, 0.5 * np.exp(-4)], abs=1e-5)
    assert not votes[:, 1].any()


def test_company_is_of_others_of_the_kind_that_fit_the_words() -> None:
    aisles, _ = shelves()
    fits = np.array([1, 1, 1, 0, 1], dtype=np.float32)
    votes = kinds_of(aisle=aisles).votes(np.array([5]), np.array([0, 1, 2, 3, 5]), np.zeros(5, np.float32), fits)
    assert votes[:3, 1].tolist() == pytest.approx([2 / 5] * 3)
    assert votes[3:, 1].tolist() == [0, 0]


def test_votes_of_a_batch_are_those_of_each_name_alone() -> None:
    aisles, _ = shelves()
    kinds, generator = kinds_of(aisle=aisles), np.random.default_rng(0)
    counts, products = np.array([3, 0, 6, 1]), np.array([0, 5, 6, 1, 2, 7, 8, 11, 12, 4])
    cosines, fits = generator.random(10).astype(np.float32), (generator.random(10) < 0.5).astype(np.float32)
    ends = np.cumsum(counts)
    alone = [
        kinds.votes(np.array([count]), products[end - count : end], cosines[end - count : end], fits[end - count : end])
        for count, end in zip(counts.tolist(), ends.tolist(), strict=True)
    ]
    assert np.allclose(kinds.votes(counts, products, cosines, fits), np.concatenate(alone))


def test_without_attributes_no_candidate_is_behind_and_all_are_of_one_kind() -> None:
    _, vectors = shelves()
    kinds = Categories.build([product(str(at), f"thing {at}") for at in range(len(vectors))], vectors)
    counts, products = np.array([2, 0]), np.array([1, 4])
    assert kinds.codes.shape == (0, len(vectors))
    assert not kinds.category_gap(vectors[:2], counts, products, PLAIN).any()
    votes = kinds.votes(counts, products, np.zeros(2, np.float32), np.ones(2, np.float32))
    assert votes.tolist() == [[1, 0.25], [1, 0.25]]


def test_a_product_without_a_value_is_of_the_kind_of_those_without() -> None:
    aisles, vectors = shelves()
    catalog = [product(str(at), "x", **({"aisle": aisle} if at % 2 else {})) for at, aisle in enumerate(aisles)]
    assert not len(Categories.build(catalog, vectors).codes)  # four kinds of 15 products group too little
    (codes,) = Categories.build([*catalog, *catalog], np.concatenate([vectors, vectors])).codes
    without = codes[[at for at, one in enumerate([*catalog, *catalog]) if not one.attributes]]
    assert len(set(without.tolist())) == 1
    assert len(set(codes.tolist())) == len(KINDS) + 1


def test_of_a_column_of_many_values_the_rarest_are_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skutune.linking.features._VALUES", 2)
    values = ["tea"] * 9 + ["soap"] * 8 + ["pens"] * 4 + ["bread"] * 3
    catalog = [product(str(at), "x", aisle=value) for at, value in enumerate(values)]
    kinds = Categories.build(catalog, np.eye(len(values), dtype=np.float32))
    assert [len(set(kinds.codes[0][first:last].tolist())) for first, last in ((0, 9), (9, 17), (17, 24))] == [1, 1, 1]
    assert len(set(kinds.codes[0].tolist())) == len(kinds.centres) == 3


def test_one_very_long_text_does_not_give_each_product_its_room() -> None:
    catalog = [product(str(at), f"thing {at}", aisle=KINDS[at % 3]) for at in range(1500)]
    catalog.append(product("long", "bean " * 20_000, aisle="tea " * 20_000))
    tracemalloc.start()
    unfitted(catalog)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


@pytest.fixture(scope="module")
def shop() -> Linker:
    aisles = ("tea", "soap", "pens", "bread")
    flavours = ("lemon", "mint", "rose", "plain", "black", "old", "blue", "green", "strong", "mild")
    names = [f"{first} {second} {aisle}" for aisle in aisles for first in flavours for second in flavours]
    return unfitted([product(str(at), name, aisle=name.split()[-1]) for at, name in enumerate(names)])


def vectors_of(*names: str) -> np.ndarray:
    """Vectors of the names, each moved a little in a direction of its own: no two products are equally near."""
    vectors = ScriptedEncoder().encode(names)
    noise = [np.random.default_rng(list(name.encode())).normal(size=vectors.shape[1]) for name in names]
    return unit((vectors + 0.01 * np.array(noise)).astype(np.float32))


def of(shop: Linker, *names: str) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(shop.evidence.of(names, vectors_of(*names)))


def test_candidates_are_the_nearest_and_the_worded_each_once_ascending(shop: Linker) -> None:
    ((found, features),) = of(shop, "lemon tea")
    assert NEAREST <= len(found) <= NEAREST + WORDED + 1
    assert found.tolist() == sorted(set(found.tolist()))
    assert features.shape == (len(found), len(FEATURES))
    assert features.dtype == np.float32


def test_the_features_of_a_batch_are_those_of_each_name_alone(shop: Linker) -> None:
    names = ["lemon tea", "vegan soap", "nut-free bread", "car battery", "", "blue blue pens", "Mint Rose Tea"]
    for (found, features), name in zip(of(shop, *names), names, strict=True):
        ((alone, same),) = of(shop, name)
        assert np.array_equal(found, alone)
        assert np.allclose(features, same, atol=1e-4)


def test_many_names_are_asked_in_blocks_and_come_out_in_order(shop: Linker, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{shop.names[place]}" for place in range(0, 400, 37)]
    whole = of(shop, *names)
    monkeypatch.setattr("skutune.linking.features._CELLS", 3 * 400)
    for (found, _), (same, features), place in zip(whole, of(shop, *names), range(0, 400, 37), strict=True):
        assert np.array_equal(found, same)
        assert same[int(np.argmax(features[:, FEATURES.index("literal")]))] == place


@pytest.mark.parametrize("name", ["lemon tea", "vegan tea", "spaceship", ""])
def test_hidden_products_are_no_candidates(shop: Linker, name: str) -> None:
    hidden = np.arange(400) < 395
    ((found, _),) = shop.evidence.of([name], ScriptedEncoder().encode([name]), [hidden])
    assert set(found.tolist()) <= set(range(395, 400))


@given(hidden=st.lists(st.booleans(), min_size=3, max_size=3))
def test_each_name_of_a_batch_has_its_own_hidden_products(shop: Linker, hidden: list[bool]) -> None:
    names = ["lemon tea", "lemon soap", "lemon pens"]
    everything = np.ones(400, dtype=bool)
    masks = [everything if each else None for each in hidden]
    found = shop.evidence.of(names, ScriptedEncoder().encode(names), masks)
    assert [len(candidates) == 0 for candidates, _ in found] == hidden
