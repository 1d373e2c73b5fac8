from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from skutune.linking.pick_products import LinkTable, choose
from skutune.records import Candidate, Link, Recommendation, Source

BEANS, SLAW, TWIN = Candidate("1", "Baked Beans", 0.99), Candidate("2", "Coleslaw", 0.95), Candidate("3", "Slaw", 0.95)


def _link(name: str, *candidates: Candidate, sources: Sequence[Source] = ()) -> Link:
    return Link(name.lower(), name, list(candidates), candidates[0].p if candidates else 0.1, list(sources), "key")


def _source(product: Candidate, accepted: bool = True) -> Source:
    return Source(product.id, product.name, product.p, accepted)


TABLE = LinkTable([_link("Beans", BEANS, sources=[_source(BEANS)]), _link("Slaw", SLAW, TWIN), _link("Rocket")])


def _recommendation(*names: str, question: str = "1/1") -> Recommendation:
    return Recommendation(question, "1", list(names), 0, 1, None, "key")


def test_candidates_are_found_by_normalised_name() -> None:
    assert [candidate.id for candidate in TABLE.candidates(" beans. ")] == ["1"]
    assert [candidate.id for candidate in TABLE.candidates("Slaw")] == ["2", "3"]
    assert TABLE.candidates("Rocket") == []
    assert TABLE.candidates("never seen") == []
    assert LinkTable([]).candidates("Beans") == []
    assert LinkTable([]).source("Beans", "1") is None


def test_the_source_slot_gets_the_source_product_or_there_is_no_answer() -> None:
    chosen = choose(_recommendation("Beans", "Slaw"), TABLE, 0)
    assert {pick.product.id for pick in chosen.picks if pick.product and pick.name == "Beans"} == {"1"}
    refused = choose(_recommendation("Slaw", "Beans"), TABLE, 0)
    assert refused.picks == ()
    assert "Slaw" in str(refused.rejected)


def test_an_accepted_source_needs_no_place_among_the_candidates() -> None:
    link = _link("Slaw", SLAW, TWIN, sources=[_source(BEANS), _source(Candidate("9", "Red Slaw", 0.7))])
    table = LinkTable([_link("Rocket"), link, _link("Beans", BEANS)])
    chosen = choose(_recommendation("Slaw", "Beans"), table, 0)
    assert [(pick.name, pick.product and pick.product.id) for pick in chosen.picks] == [("Slaw", "1")]
    assert table.source(" slaw. ", "9") == Candidate("9", "Red Slaw", pytest.approx(0.7))
    assert [candidate.id for candidate in table.candidates("Slaw")] == ["2", "3"]


def test_a_source_is_accepted_for_the_name_that_it_was_judged_for_alone() -> None:
    table = LinkTable(
        [
            _link("Beans", BEANS, sources=[_source(BEANS, accepted=False)]),
            _link("Slaw", SLAW, sources=[_source(SLAW)]),
        ]
    )
    assert table.source("Beans", "1") is None
    assert table.source("Slaw", "1") is None
    assert table.source("Beans", "2") is None
    assert choose(_recommendation("Beans", "Slaw"), table, 0).rejected


def test_near_ties_are_spread_over_questions_and_stay_where_they_fell() -> None:
    picked = Counter()
    for number in range(400):
        recommendation = _recommendation("Beans", "Slaw", question=f"1/{number}")
        chosen = choose(recommendation, TABLE, 0)
        assert chosen == choose(recommendation, TABLE, 0)
        picked.update(pick.product.id for pick in chosen.picks if pick.name == "Slaw" and pick.product)
    assert 140 < picked["2"] < 260
    assert picked["2"] + picked["3"] == 400


def test_no_product_is_recommended_twice_in_one_answer() -> None:
    table = LinkTable([_link("Beans", BEANS, sources=[_source(BEANS)]), _link("Baked Beans", BEANS)])
    chosen = choose(_recommendation("Beans", "Baked Beans"), table, 1)
    assert [pick.name for pick in chosen.picks] == ["Beans"]


def test_a_share_of_names_without_a_product_stays() -> None:
    kept = [
        any(
            pick.product is None
            for pick in choose(_recommendation("Beans", "Rocket", question=f"1/{n}"), TABLE, 0.3).picks
        )
        for n in range(400)
    ]
    assert 80 < sum(kept) < 160
    assert all(
        pick.product
        for n in range(50)
        for pick in choose(_recommendation("Beans", "Rocket", question=f"1/{n}"), TABLE, 0).picks
    )
