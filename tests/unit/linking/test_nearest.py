"""The highest of many scores, and the nearest of many vectors, found without sorting or comparing everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skutune.linking.index.nearest import COMPONENTS, SMALL, Nearest, highest, principal
from skutune.linking.vectors.classifier import unit

LONG = 4096 + 7  # scores that no number of blocks divides


def clustered(count: int, dimension: int, seed: int) -> np.ndarray:
    """Unit vectors about a hundred centres, most of what they differ in within a few directions, as of texts."""
    generator = np.random.default_rng(seed)
    strength = np.exp(-np.arange(dimension) / 40)
    centres = generator.normal(size=(100, dimension)) * strength
    near = centres[generator.integers(100, size=count)] + 0.5 * generator.normal(size=(count, dimension)) * strength
    return unit(near.astype(np.float32))


def best_of(scores: np.ndarray, count: int) -> np.ndarray:
    return -np.sort(-scores, axis=1)[:, :count]


@given(
    rows=st.integers(0, 4),
    columns=st.integers(0, 700),
    count=st.integers(1, 20),
    distinct=st.sampled_from([1, 2, 5, 1000]),
    hidden=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    seed=st.integers(0, 1000),
)
def test_the_highest_are_those_of_a_full_sort(
    rows: int, columns: int, count: int, distinct: int, hidden: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(distinct, size=(rows, columns)).astype(np.float32)
    scores[generator.random(scores.shape) < hidden] = -np.inf
    places = highest(scores, count)
    assert places.shape == (rows, min(count, columns))
    assert all(len(set(row)) == len(row) for row in places.tolist())
    assert np.array_equal(best_of(np.take_along_axis(scores, places, axis=1), count), best_of(scores, count))


@pytest.mark.parametrize("count", [1, 64, 127])
def test_the_highest_of_many_are_found_in_the_last_ones_as_well(count: int) -> None:
    scores = np.arange(3 * LONG, dtype=np.float32).reshape(3, LONG) % LONG
    assert LONG % 16
    for row in highest(scores, count):
        assert sorted(row.tolist()) == list(range(LONG - count, LONG))


def test_the_highest_may_lie_side_by_side_or_a_stride_apart() -> None:
    for step in (1, LONG // 16):
        scores = np.zeros((1, LONG), dtype=np.float32)
        scores[0, np.arange(16) * step] = np.arange(1, 17)
        assert sorted(highest(scores, 16)[0].tolist()) == (np.arange(16) * step).tolist()


def test_a_small_catalog_is_compared_in_full() -> None:
    vectors = clustered(SMALL, 2 * COMPONENTS, 0)
    nearest = Nearest.build(vectors)
    assert nearest.basis is None
    assert np.allclose(nearest.scores(vectors[:5]), vectors[:5] @ vectors.T, atol=1e-5)


def test_few_dimensions_are_not_reduced() -> None:
    assert Nearest.build(clustered(SMALL + 1, COMPONENTS, 0)).basis is None


def test_the_nearest_of_a_large_catalog_is_among_the_first_64() -> None:
    vectors = clustered(3 * SMALL, 3 * COMPONENTS, 1)
    nearest = Nearest.build(vectors)
    assert nearest.rows.shape == (3 * SMALL, COMPONENTS)
    generator = np.random.default_rng(2)
    noise = 0.03 * generator.normal(size=(300, vectors.shape[1]))
    queries = unit((vectors[generator.integers(len(vectors), size=300)] + noise).astype(np.float32))
    exact = np.argmax(queries @ vectors.T, axis=1)
    found = [place in row for place, row in zip(exact, highest(nearest.scores(queries), 64), strict=True)]
    assert np.mean(found) >= 0.99


def test_a_search_is_the_same_from_the_saved_basis() -> None:
    vectors = clustered(SMALL + 10, 2 * COMPONENTS, 3)
    built = Nearest.build(vectors)
    restored = Nearest.restore(vectors, basis=built.basis)
    assert np.array_equal(built.scores(vectors[:9]), restored.scores(vectors[:9]))


def test_principal_directions_are_of_length_1_at_right_angles_and_the_strongest_first() -> None:
    vectors = clustered(500, 40, 4)
    basis = principal(vectors, components=10)
    assert np.allclose(basis.T @ basis, np.eye(10), atol=1e-5)
    strengths = ((vectors @ basis) ** 2).sum(axis=0)
    assert np.all(np.diff(strengths) <= 1e-3)
    assert strengths[0] == pytest.approx(np.linalg.svd(vectors, compute_uv=False)[0] ** 2, rel=1e-4)


@pytest.mark.parametrize("count", [SMALL, SMALL + 10])
def test_dimensions_in_two_arrays_are_searched_as_if_they_lay_side_by_side(count: int) -> None:
    vectors = clustered(count, 2 * COMPONENTS, 5)
    whole, apart = Nearest.build(vectors), Nearest.build(vectors[:, :COMPONENTS], vectors[:, COMPONENTS:])
    assert np.allclose(whole.scores(vectors[:7]), apart.scores(vectors[:7]), atol=1e-5)
