"""Intervals: Wilson's where a cluster has one trial, else resampled clusters."""

import random

import pytest

from skutune.evaluation.intervals import difference, rate_of
from skutune.evaluation.rates import rate


def test_a_rate_without_trials_is_unknown():
    assert rate(0, 0).rate is None
    assert (rate(0, 0).low, rate(0, 0).high) == (0.0, 1.0)
    assert rate_of([]).rate is None
    assert rate_of([(0, 0), (0, 0)]).rate is None


def test_wilson_intervals_match_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert (rate(81, 263).low, rate(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (rate(15, 148).low, rate(15, 148).high) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert (rate(0, 20).low, rate(0, 20).high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert (rate(1, 29).low, rate(1, 29).high) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_more_hits_than_trials_are_refused():
    with pytest.raises(ValueError, match="3 hits in 2 trials"):
        rate(3, 2)


def test_one_trial_a_cluster_is_wilsons_case():
    assert rate_of([(1, 1)] * 7 + [(0, 1)] * 3 + [(0, 0)]) == rate(7, 10)


def test_what_goes_wrong_together_widens_the_interval_and_what_does_not_leaves_it():
    together = rate_of([(3, 3)] * 20 + [(0, 3)] * 20)
    apart = rate_of([(2, 3), (1, 3)] * 20)
    assert together.rate == apart.rate == 0.5
    wilson = rate(60, 120)
    assert together.high - together.low > 1.4 * (wilson.high - wilson.low)
    assert apart.high - apart.low < wilson.high - wilson.low
    # 40 independent coins: 0.5 ± 1.96 · 0.5 / √40
    assert (together.low, together.high) == pytest.approx((0.345, 0.655), abs=0.02)


def test_all_right_promises_no_more_than_so_many_questions_can():
    assert (rate_of([(3, 3)] * 4).low, rate_of([(3, 3)] * 4).high) == (rate(4, 4).low, 1.0)
    assert rate_of([(0, 2)] * 4).high == rate(0, 4).high


def test_few_clusters_promise_no_more_than_so_many_trials_can():
    draw, covered, runs = random.Random(7), 0, 200
    for _ in range(runs):
        chances = [draw.betavariate(2, 2) for _ in range(6)]
        found = rate_of([(sum(draw.random() < chance for _ in range(5)), 5) for chance in chances])
        covered += found.low <= 0.5 <= found.high
    assert covered / runs > 0.94
    alone, known = rate_of([(2, 3), (1, 3)] * 2), rate(2, 4)
    assert (alone.low, alone.high) == (known.low, known.high)


def test_a_difference_of_few_clusters_is_as_wide_as_of_two_systems_that_have_nothing_in_common():
    before, after = [(1, 3), (2, 3), (1, 3), (0, 3)], [(2, 3), (3, 3), (2, 3), (2, 3)]
    found, one, other = difference(before, after), rate_of(before), rate_of(after)
    assert found.value == pytest.approx(5 / 12)
    assert found.low == pytest.approx(5 / 12 - ((other.rate - other.low) ** 2 + (one.high - one.rate) ** 2) ** 0.5)
    assert found.high == pytest.approx(5 / 12 + ((other.high - other.rate) ** 2 + (one.rate - one.low) ** 2) ** 0.5)


def test_the_same_counts_give_the_same_interval():
    counts = [(1, 3), (2, 2), (0, 1), (3, 3), (1, 1)]
    assert rate_of(counts) == rate_of(list(counts))


def test_a_paired_difference_is_surer_than_its_two_rates():
    before = [(1, 2), (0, 2)] * 25
    after = [(2, 2), (1, 2)] * 25
    found = difference(before, after)
    assert found.value == 0.5
    assert found.clusters == 50
    one, other = rate_of(before), rate_of(after)
    assert found.high - found.low < (one.high - one.low) / 2 + (other.high - other.low) / 2
    assert found.low <= 0.5 <= found.high


def test_all_against_nothing_is_not_certain_with_few_questions():
    few, many = difference([(0, 1)] * 3, [(1, 1)] * 3), difference([(0, 1)] * 300, [(1, 1)] * 300)
    assert few.value == many.value == 1.0
    assert few.low < 0.5 < 0.95 < many.low
    assert few.high == 1.0


def test_a_difference_from_nothing_to_count_is_unknown():
    assert difference([(0, 0)] * 3, [(1, 1)] * 3).value is None


def test_other_clusters_cannot_be_compared():
    with pytest.raises(ValueError, match="2 clusters against 3"):
        difference([(1, 1)] * 2, [(1, 1)] * 3)
