"""Which product holds which term."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skutune.linking.index.postings import Postings

VOCABULARY = 6
catalogs = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=5), max_size=12)


@given(catalogs)
def test_a_terms_products_are_those_that_hold_it_each_once(terms: list[list[int]]) -> None:
    postings = Postings.build(terms, VOCABULARY)
    for term in range(VOCABULARY):
        assert postings.of(term).tolist() == [product for product, held in enumerate(terms) if term in held]


@given(catalogs)
def test_it_is_told_for_each_pair_whether_the_product_holds_the_term(terms: list[list[int]]) -> None:
    postings = Postings.build(terms, VOCABULARY)
    pairs = [(term, product) for product in range(len(terms)) for term in range(-1, VOCABULARY)]
    asked = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    told = postings.holds(asked[:, 0], asked[:, 1], len(terms))
    assert told.tolist() == [term in terms[product] for term, product in pairs]


@given(catalogs)
def test_postings_are_the_same_from_the_saved_arrays(terms: list[list[int]]) -> None:
    built = Postings.build(terms, VOCABULARY)
    restored = Postings.restore(built.starts, built.products, len(terms))
    for one, other in (
        (built.starts, restored.starts),
        (built.products, restored.products),
        (built.keys, restored.keys),
    ):
        assert np.array_equal(one, other)


def test_keys_of_a_large_catalog_do_not_run_over() -> None:
    terms: list[list[int]] = [[] for _ in range(50_000)]
    terms[-1] = [99_999]
    postings = Postings.build(terms, 100_000)
    assert postings.of(99_999).tolist() == [49_999]
    assert postings.holds(np.array([99_999]), np.array([49_999]), 50_000).tolist() == [True]


def test_a_catalog_without_words_holds_nothing() -> None:
    postings = Postings.build([[], []], 0)
    assert postings.starts.tolist() == [0]
    assert postings.holds(np.array([-1, 0]), np.array([0, 1]), 2).tolist() == [False, False]
