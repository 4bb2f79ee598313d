"""Paired tests, against enumeration by scipy, Holm's procedure by statsmodels, and simulated error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from calibration import Experiment, errors
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_1samp, ttest_ind
from statsmodels.stats.multitest import multipletests

from bench.statistics.significance import effect_size, holm, paired_randomisation, student_test

SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.625, 1.0])
"""Scores whose sums are exact, since scipy does not tolerate rounding errors."""


def scipy_p(a: np.ndarray, b: np.ndarray) -> float:
    """Return the exact p-value of the same test by scipy, which swaps samples within pairs."""

    def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(x - y, axis=axis)

    found = permutation_test((a, b), statistic, permutation_type="samples", n_resamples=math.inf, vectorized=True)
    return float(found.pvalue)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=12))
def test_few_queries_are_enumerated_as_scipy_does(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    (p,) = paired_randomisation((a - b)[None], np.random.default_rng(0), samples=3)
    assert p == pytest.approx(scipy_p(a, b), abs=1e-12)


def test_many_queries_are_sampled_within_monte_carlo_error() -> None:
    rng = np.random.default_rng(1)
    a = rng.random((5, 16))
    b = a + rng.normal(0.1, 0.4, a.shape)
    exact = np.array([scipy_p(x, y) for x, y in zip(a, b, strict=True)])
    found = paired_randomisation(a - b, rng, samples=20_000)
    error = np.sqrt(exact * (1 - exact) / 20_000)
    assert (np.abs(found - exact) < 4 * error + 1e-4).all()
    assert exact.min() < 0.3 < exact.max()


def test_p_value_is_never_zero_and_1_for_equal_scores() -> None:
    rng = np.random.default_rng(0)
    assert paired_randomisation(np.ones((1, 100)), rng, samples=999).tolist() == [1 / 1000]
    differences = np.zeros((2, 500))
    differences[1, :4] = 1.0  # queries without a difference do not count
    assert paired_randomisation(differences, rng).tolist() == [1.0, 2 / 2**4]


def test_rounding_does_not_hide_a_tie() -> None:
    differences = np.array([[0.1, 0.2, 0.3, -0.6]])  # the sums that are further from 0 have one sign, or differ by 0.1
    assert paired_randomisation(differences, np.random.default_rng(0)).tolist() == [1.0]


def test_random_signs_do_not_depend_on_other_rows_or_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(2).normal(0.02, 0.3, (7, 90))

    def p_values(rows: np.ndarray) -> list[float]:
        return paired_randomisation(rows, np.random.default_rng(0), samples=500).tolist()

    together = p_values(differences)
    assert together == [p_values(row)[0] for row in differences]
    monkeypatch.setattr("bench.statistics.significance.CHUNK", 1000)
    assert together == p_values(differences)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    _, expected, _, _ = multipletests(p_values, method="holm")
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


def test_student_test_is_no_easier_than_welchs_test_of_seed_means() -> None:
    rng = np.random.default_rng(3)
    scores, others = rng.normal(0.05, 0.2, (5, 60)), rng.normal(0.0, 0.2, (3, 60))
    welch = ttest_ind(scores.mean(axis=1), others.mean(axis=1), equal_var=False).pvalue
    assert student_test(scores, others) >= welch - 1e-12
    constant = np.full((1, 60), 0.5)
    against_constant = ttest_1samp(scores.mean(axis=1), 0.5).pvalue
    assert student_test(scores, constant) >= against_constant - 1e-12
    assert student_test(constant, constant) == 1.0
    assert student_test(constant, np.zeros((3, 60))) == 0.0


def test_effect_size_is_the_mean_in_standard_deviations() -> None:
    assert effect_size(np.array([1.0, 2.0, 3.0])) == 2.0
    assert math.isnan(effect_size(np.ones(5)))
    assert math.isnan(effect_size(np.array([0.3])))


def test_family_wise_error_is_kept_only_by_correction() -> None:
    found = errors(Experiment(queries=150), 300, np.random.default_rng(4))
    assert found.queries.interval[0] <= 0.05
    assert found.uncorrected.interval[0] > 0.15


def test_a_test_over_queries_alone_mistakes_seeds_for_methods() -> None:
    found = errors(Experiment(seeds=3, seed_spread=0.4, queries=150), 100, np.random.default_rng(5))
    assert found.queries.interval[0] > 0.3
    assert found.both.interval[0] <= 0.05


def test_better_system_is_detected() -> None:
    found = errors(Experiment(merit=0.8), 40, np.random.default_rng(6))
    assert found.power.interval[0] > 0.5
    assert found.queries.interval[0] <= 0.05
