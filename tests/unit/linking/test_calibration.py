"""P(acceptable): what the packaged prior says by itself, and how a catalog moves it."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skutune.errors import InputError
from skutune.linking import calibration
from skutune.linking.calibration import WANTED, Calibration
from skutune.linking.features import FEATURES

AGAINST = ("category_gap", "unknown", "head_elsewhere", "constraint_extra")


def rounds(count: int, scale: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and answers that are right as often as scale × log-odds + shift says."""
    generator = np.random.default_rng(0)
    odds = generator.normal(scale=3, size=count).astype(np.float32)
    return odds, generator.random(count) < calibration.sigmoid(scale * odds + shift)


def evidence(**said: float) -> np.ndarray:
    return np.array([[said.get(feature, 0.0) for feature in FEATURES]], dtype=np.float32)


def test_without_a_prior_the_fit_is_logistic_regression() -> None:
    odds, right = rounds(3000, 0.6, -1.0)
    reference = LogisticRegression(C=1e6, tol=1e-10).fit(odds[:, None], right)
    scale, shift = calibration.fit(odds, right, precision=0.0)
    assert (scale, shift) == pytest.approx((reference.coef_[0][0], reference.intercept_[0]), abs=0.01)


def test_few_names_keep_the_prior_and_many_move_it() -> None:
    assert calibration.fit(*(part[:0] for part in rounds(10, 2, 2))) == (1.0, 0.0)
    (_, few), (_, many) = (calibration.fit(*rounds(count, 1.0, -2.0)) for count in (10, 50_000))
    assert -1 < few < 0
    assert many == pytest.approx(-2, abs=0.25)


def test_names_that_are_told_apart_without_a_fault_do_not_run_to_infinity() -> None:
    odds = np.repeat(np.array([-2.0, 2.0], dtype=np.float32), 500)
    scale, shift = calibration.fit(odds, odds > 0)
    assert 1 < scale < 10
    assert abs(shift) < 1


def test_a_moved_calibration_has_moved_log_odds() -> None:
    prior, features = calibration.prior(5000), evidence(text_similarity=1.2, best_similarity=1.3, kind_votes=1)
    expected = 0.5 * prior.log_odds(features) + 2
    assert prior.scaled(0.5, 2.0).log_odds(features) == pytest.approx(expected, abs=1e-5)


def test_no_evidence_for_a_product_lowers_p_and_none_against_it_raises_it() -> None:
    for products in (1, 20, 700, 50_000, 10_000_000):
        for feature, value in zip(FEATURES, calibration.prior(products).coefficients, strict=True):
            if feature != "best_similarity":
                assert value <= 0 if feature in AGAINST else value >= 0, (feature, products)


def test_the_prior_is_sure_of_covered_names_and_of_strangers() -> None:
    prior = calibration.prior(5000)
    covered = evidence(
        name_similarity=1.6, text_similarity=1.5, best_similarity=1.6, query_coverage=1, covered=1, fits=1,
        name_coverage=0.8, head_agrees=1, kind_votes=1, category_support=0.8,
    )  # fmt: skip
    stranger = evidence(
        name_similarity=0.8, text_similarity=0.8, best_similarity=0.8, category_gap=0.1, query_coverage=0.4,
        name_coverage=0.5, head_agrees=1, kind_votes=1,
    )  # fmt: skip
    assert calibration.sigmoid(prior.log_odds(covered))[0] > 0.9
    assert calibration.sigmoid(prior.log_odds(stranger))[0] < 0.2


def test_what_is_literally_asked_for_is_acceptable_whatever_the_estimate() -> None:
    p = calibration.probabilities(np.array([-9.0, -9.0], dtype=np.float32), np.array([True, False]))
    assert p[0] >= 0.99
    assert p[1] < 0.01


def test_a_greater_precision_needs_a_greater_p_and_the_prior_reaches_what_is_wanted() -> None:
    prior = calibration.prior(5000)
    cuts = [prior.threshold(wanted) for wanted in np.linspace(0.01, 0.99, 99)]
    assert all(0 < cut < 1 for cut in cuts)
    measured = [prior.threshold(wanted) for wanted in WANTED]
    assert measured == sorted(measured)
    assert prior.threshold(0.75) == pytest.approx((prior.threshold(0.7) + prior.threshold(0.8)) / 2)


def test_outside_of_the_measured_precisions_the_threshold_is_the_precision_but_never_falls() -> None:
    judge = replace(calibration.prior(5000), cuts=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
    assert judge.threshold(0.99) == 0.99
    assert judge.threshold(0.05) == 0.05
    assert judge.threshold(0.9) == pytest.approx(0.6)
    for products in (2, 300, 50_000):
        cuts = [calibration.prior(products).threshold(wanted) for wanted in np.linspace(0.01, 0.99, 99)]
        assert cuts == sorted(cuts)


def test_names_that_are_as_easy_as_the_reference_s_own_move_nothing() -> None:
    made = calibration.load_synthetic_bias()
    assert made.beyond(made.scale, made.shift) == (1.0, 0.0)
    assert made.beyond(made.scale, made.shift + 1)[1] > 0
    assert calibration.fit(*(part[:0] for part in rounds(10, 2, 2)), start=(1.5, 0.5)) == (1.5, 0.5)


def test_the_curves_count_names() -> None:
    p = np.array([0.05, 0.15, 0.95, 0.99], dtype=np.float32)
    right = np.array([False, False, True, False])
    assert calibration.reliability(p, right, bins=2) == [
        {"p": pytest.approx(0.1), "acceptable": 0.0, "names": 2},
        {"p": pytest.approx(0.97), "acceptable": 0.5, "names": 2},
    ]
    judge = replace(calibration.prior(5000), cuts=(0.1,) * 7 + (0.97,))
    told = calibration.coverage(p, right, judge)
    assert [line["wanted"] for line in told] == list(WANTED)
    assert told[0] == {"wanted": 0.5, "precision": pytest.approx(1 / 3), "coverage": 0.75}
    assert told[-1] == {"wanted": 0.98, "precision": 0.0, "coverage": 0.25}


def test_a_calibration_is_the_same_after_restoring_and_refused_for_other_features() -> None:
    document = asdict(calibration.prior(5000))
    assert Calibration.restore(document) == calibration.prior(5000)
    with pytest.raises(InputError, match="another version"):
        Calibration.restore(document | {"features": ["something_else"]})
