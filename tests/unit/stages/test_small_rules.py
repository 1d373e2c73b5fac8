"""The rules that decide what a stage accepts."""

from __future__ import annotations

from collections import Counter

import pytest

from skutune.records import Product
from skutune.stages.compose import by_hash, how_many
from skutune.stages.ingest import default_buckets
from skutune.stages.llm import MalformedError
from skutune.stages.question import names_product, rejection_reason
from skutune.stages.recommend import clean_names, may_refer_to
from skutune.text import words


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("What goes with baked beans on toast?", "names the product"),
        ("Which baked bean should I buy now?", "names the product"),
        ("What goes with a roast", "no question mark at the end"),
        ("Beans?", "words"),
        ("Is (closest product) what I want now?", "reserved phrase"),
    ],
)
def test_a_question_that_teaches_nothing_is_refused(question: str, fault: str) -> None:
    assert fault in str(rejection_reason(question, Product("1", "Baked Beans", {}, "")))


def test_a_question_about_something_like_it_is_fine() -> None:
    assert rejection_reason("What goes with a roast chicken and beans?", Product("1", "Baked Beans", {}, "")) is None


def test_a_name_is_found_in_its_order_only() -> None:
    product = Product("1", "Green Tea", {}, "")
    assert names_product(words("Do you have green teas today"), product)
    assert not names_product(words("Do you have tea that is green"), product)


def test_a_repeated_recommendation_counts_once() -> None:
    assert clean_names(["Baked Beans", "baked beans.", "Coleslaw"]) == ["Baked Beans", "Coleslaw"]
    assert clean_names(["Beans: white"]) == ["Beans white"]


@pytest.mark.parametrize("name", ["", "...", "a b c d e f g h i j", "x" * 80, "(no close product)"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        clean_names([name])


@pytest.mark.parametrize(
    ("name", "product", "expected"),
    [
        ("Coleslaw", "Freshly Shredded Angel Hair Cole Slaw", True),
        ("Potato Chips", "Old Farm Original Potato Chips 8 oz", True),
        ("Mashed Potato", "Mashed Potatoes", True),
        ("Mash-Up", "Mashed Potatoes", False),
        ("Apple Juice", "Apple Pie", False),
        ("Bacon", "Refried Beans", False),
    ],
)
def test_the_first_name_must_be_able_to_mean_the_product(name: str, product: str, expected: bool) -> None:
    assert may_refer_to(name, product) is expected


def test_held_out_ids_are_a_stable_share() -> None:
    ids = [str(number) for number in range(1000)]
    chosen = set(by_hash(ids, "product")[: how_many(len(ids), 0.05)])
    assert len(chosen) == 50
    assert set(by_hash(reversed(ids), "product")[:50]) == chosen
    # A new product changes the choice at its margin only.
    assert len(set(by_hash([*ids, "new"], "product")[:50]) - chosen) <= 1


def test_a_small_catalog_spares_one_and_a_tiny_one_none() -> None:
    assert how_many(16, 0.01) == 1
    assert how_many(3, 0.05) == 0
    assert how_many(16, 0) == 0


def test_the_number_of_buckets_grows_slowly() -> None:
    assert [default_buckets(count) for count in (1, 16, 50_000)] == [1, 4, 224]


def test_the_samples_bucket_evenly() -> None:
    from skutune.hashing import bucket_hash

    sizes = Counter(bucket_hash(str(number)) % 10 for number in range(10_000))
    assert len(sizes) == 10
    assert max(sizes.values()) < 1150
