"""P(acceptable): the fit around a prior, and what the packaged prior says by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skutune.errors import InputError
from skutune.linking import calibration
from skutune.linking.calibration import Calibration
from skutune.linking.evidence import FEATURES

ZERO = Calibration((0.0,) * len(FEATURES), 0.0, 0.5)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels that follow two of them by chance, and weights."""
    generator = np.random.default_rng(0)
    features = generator.random((count, len(FEATURES))).astype(np.float32)
    p = calibration.sigmoid(6 * features[:, 0] - 4 * features[:, 3] - 1)
    return features, generator.random(count) < p, generator.uniform(0.5, 2, count).astype(np.float32)


def evidence(**said: float) -> np.ndarray:
    return np.array([[said.get(feature, 0.0) for feature in FEATURES]], dtype=np.float32)


def test_around_a_prior_of_zero_the_fit_is_logistic_regression() -> None:
    features, right, weights = pairs(2000)
    fitted = calibration.fit(features, right, weights, ZERO, precision=0.01)
    reference = LogisticRegression(C=100, tol=1e-10, max_iter=1000).fit(features, right, sample_weight=weights)
    assert np.allclose(fitted.coefficients, reference.coef_[0], atol=0.02)


def test_no_pairs_leave_the_prior_and_many_overrule_it() -> None:
    prior = Calibration((-3.0,) * len(FEATURES), 2.0, 0.5)
    nothing = calibration.fit(*(part[:0] for part in pairs(10)), prior)
    assert np.allclose(nothing.coefficients, prior.coefficients)
    few, many = (calibration.fit(*pairs(count), prior).coefficients[0] for count in (10, 20_000))
    assert -3.0 <= few < -1.0
    assert many == pytest.approx(5.5, abs=1)


def test_separable_pairs_do_not_run_to_infinity() -> None:
    features = np.repeat(np.eye(len(FEATURES), dtype=np.float32)[:2], 500, axis=0)
    fitted = calibration.fit(features, np.arange(1000) < 500, np.ones(1000, dtype=np.float32), ZERO)
    assert np.isfinite(fitted.coefficients).all()
    assert max(np.abs(fitted.coefficients)) < 10


def test_the_prior_is_sure_of_covered_names_and_of_strangers() -> None:
    prior = calibration.prior()
    covered = evidence(name_cosine=0.8, text_cosine=0.7, query_coverage=1, name_coverage=0.5, covered=1, head_agrees=1)
    stranger = evidence(name_cosine=0.3, text_cosine=0.3, query_coverage=0.4, name_coverage=0.5, head_agrees=1)
    assert calibration.sigmoid(prior.log_odds(covered))[0] > 0.9
    assert calibration.sigmoid(prior.log_odds(stranger))[0] < 0.5


def test_a_constraint_that_is_not_stated_lowers_p_below_any_wanted_precision() -> None:
    met = evidence(name_cosine=0.9, text_cosine=0.9, query_coverage=1, name_coverage=1, covered=1, head_agrees=1)
    missed = met.copy()
    missed[0, FEATURES.index("constraint_missing")] = 1
    p = calibration.sigmoid(calibration.prior().log_odds(np.concatenate([met, missed])))
    assert p[0] > 0.9
    assert p[1] < 0.8


def test_what_is_literally_asked_for_is_acceptable_whatever_the_estimate() -> None:
    p = calibration.probabilities(np.array([-9.0, -9.0], dtype=np.float32), np.array([True, False]))
    assert p[0] >= 0.99
    assert p[1] < 0.01


def test_the_margin_is_bounded() -> None:
    assert calibration.margin_of(np.array([])) == pytest.approx(0.1)
    assert calibration.margin_of(np.zeros(9)) == pytest.approx(0.1)
    assert calibration.margin_of(np.full(9, 5.0)) == pytest.approx(1.0)
    assert calibration.margin_of(np.array([0.2, 0.4, 3.0])) == pytest.approx(0.4)


def test_a_calibration_is_the_same_after_saving_and_refused_for_other_features(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibration.prior().save(path)
    assert Calibration.load(path) == calibration.prior()
    path.write_text(path.read_text().replace("query_coverage", "something_else"))
    with pytest.raises(InputError, match="another version"):
        Calibration.load(path)
