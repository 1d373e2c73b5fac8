"""How the products that a name was written for are judged, on a shop where most are none of its candidates."""

from __future__ import annotations

import numpy as np
import pytest
from linking_parts import product, unfitted

from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.linking import Linker, Ranked, SourceScorer
from skutune.linking.calibration import sigmoid
from skutune.linking.source_products import WRITTEN_FOR
from skutune.records import Source

FLAVOURS = ("lemon", "mint", "rose", "plain", "black", "old", "blue", "green", "strong", "mild")
NAMES = [f"{first} {second} {third} tea" for first in FLAVOURS for second in FLAVOURS for third in ("iced", "hot")]
DOUBTFUL = "big smoky leaf tea"
FAR = "150"  # a tea that is none of its candidates, nor of those of "tea": they are fewer than the teas


@pytest.fixture(scope="module")
def shop() -> Linker:
    teas = [product(str(at), name) for at, name in enumerate(NAMES)]
    others = [product("soap", "Rose Soap"), product("decaf", "Decaf Assam"), product("assam", "Assam")]
    return unfitted([*teas, *others])


def rank(shop: Linker, *names: str) -> tuple[np.ndarray, list[Ranked]]:
    vectors = ScriptedEncoder().encode(names)
    return vectors, list(shop.rank(names, vectors))


def judge(shop: Linker, name: str, *sources: str, precision: float = 0.9) -> list[Source]:
    vectors, ranked = rank(shop, name)
    (judged,) = SourceScorer(shop).judge([name], vectors, ranked, [sources], precision)
    return judged


def missing(shop: Linker, name: str) -> list[str]:
    (ranked,) = rank(shop, name)[1]
    return [product_id for row, product_id in enumerate(shop.ids) if row not in ranked.products]


def test_a_source_among_the_candidates_is_likelier_than_a_product_that_was_merely_found(shop: Linker) -> None:
    (ranked,) = rank(shop, "rose tea")[1]
    place = int(np.flatnonzero(ranked.p < 0.9)[0])
    (source,) = judge(shop, "rose tea", shop.ids[ranked.products[place]])
    assert source.p == pytest.approx(sigmoid(ranked.odds[place] + WRITTEN_FOR), abs=1e-6)
    assert source.p > ranked.p[place]


def test_one_that_is_no_candidate_is_judged_as_if_it_were(shop: Linker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FAR in missing(shop, DOUBTFUL)
    (beside,) = judge(shop, DOUBTFUL, FAR)
    monkeypatch.setattr("skutune.linking.features.NEAREST", len(NAMES) + 3)
    assert FAR not in missing(shop, DOUBTFUL)
    (found,) = judge(shop, DOUBTFUL, FAR)
    assert 0.1 < beside.p < 0.9
    assert beside.p == pytest.approx(found.p, abs=1e-5)
    assert (beside.id, beside.name) == (FAR, NAMES[int(FAR)])


def test_what_is_said_of_a_source_depends_on_no_other_source_and_no_other_name(
    shop: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, names = missing(shop, DOUBTFUL)[:3], [DOUBTFUL, "soap", DOUBTFUL]
    alone = [source for each in ids for source in judge(shop, DOUBTFUL, each)]
    monkeypatch.setattr("skutune.linking.source_products._BLOCK", 2)
    vectors, ranked = rank(shop, *names)
    told = SourceScorer(shop).judge(names, vectors, ranked, [ids, ["soap", FAR], ids[::-1]], 0.9)
    for some, order in ((told[0], ids), (told[2], ids[::-1])):
        assert [source.id for source in some] == order
    assert [source.p for source in told[0]] == pytest.approx([source.p for source in alone], abs=1e-5)
    assert [source.id for source in told[1]] == ["soap", FAR]
    assert told[1][0].p > told[1][1].p


def test_a_product_of_the_very_name_is_accepted_and_another_thing_is_not(shop: Linker) -> None:
    own, other = judge(shop, "rose soap", "soap", FAR)
    assert (own.accepted, other.accepted) == (True, False)
    assert own.p >= 0.99


def test_a_source_that_contradicts_a_constraint_is_not_accepted_however_low_the_wanted_precision(shop: Linker) -> None:
    plain, decaf = judge(shop, "decaf assam", "assam", "decaf", precision=0.01)
    assert (plain.p, plain.accepted) == (0, False)
    assert decaf.accepted


def test_the_wanted_precision_decides(shop: Linker) -> None:
    p = judge(shop, DOUBTFUL, FAR)[0].p
    accepted = [judge(shop, DOUBTFUL, FAR, precision=precision)[0].accepted for precision in (0.01, 0.5, 0.999)]
    assert accepted == [p >= shop.calibration.threshold(precision) for precision in (0.01, 0.5, 0.999)]
    assert (accepted[0], accepted[-1]) == (True, False)


@pytest.mark.parametrize("name", ["", "???"])
def test_a_name_without_a_letter_stands_for_nothing(shop: Linker, name: str) -> None:
    assert judge(shop, name, "soap", precision=0.01) == [Source("soap", "Rose Soap", 0.0, False)]


def test_a_name_without_sources_has_none(shop: Linker) -> None:
    assert judge(shop, "tea") == []
