"""Intervals, against hand-computed variances, scipy's t-interval, and simulated scores with a known mean."""

from __future__ import annotations

import numpy as np
import pytest
from calibration import Experiment, coverage, pigeonhole_bootstrap
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind

from bench.statistics.intervals import estimates, intervals, query_bootstrap, student_interval

SCORES = np.array([[0.0, 1.0, 0.5, 0.5], [0.2, 0.8, 0.4, 1.0], [0.1, 0.9, 0.9, 0.7]])


def mean_squares(scores: np.ndarray) -> tuple[float, float, float]:
    """Return the mean squares of seeds, queries and the rest of a two-way layout, computed cell by cell."""
    n_seeds, n_queries = scores.shape
    grand = scores.mean()
    seeds = sum(n_queries * (row.mean() - grand) ** 2 for row in scores) / (n_seeds - 1)
    queries = sum(n_seeds * (column.mean() - grand) ** 2 for column in scores.T) / (n_queries - 1)
    rest = sum(
        (scores[i, j] - scores[i].mean() - scores[:, j].mean() + grand) ** 2
        for i in range(n_seeds)
        for j in range(n_queries)
    ) / ((n_seeds - 1) * (n_queries - 1))
    return float(seeds), float(queries), float(rest)


def test_variance_is_that_of_a_two_way_layout() -> None:
    seeds, queries, rest = mean_squares(SCORES)
    assert queries > rest
    found, _ = estimates(SCORES)
    assert found.mean == pytest.approx(SCORES.mean())
    assert found.error**2 == pytest.approx((seeds + queries - rest) / SCORES.size)
    assert found.freedom == pytest.approx((seeds + queries - rest) ** 2 / (seeds**2 / (len(SCORES) - 1)))


def test_variance_of_a_difference_has_both_systems_seeds() -> None:
    others = SCORES[:2, ::-1]
    (seeds, _, rest), (other_seeds, _, other_rest) = mean_squares(SCORES), mean_squares(others)
    parts = seeds / SCORES.size, other_seeds / others.size
    queries = np.var(SCORES.mean(axis=0) - others.mean(axis=0), ddof=1) / 4
    total = sum(parts) + max(queries - rest / SCORES.size - other_rest / others.size, 0)
    found, over_seeds = estimates(SCORES, others)
    assert found.error**2 == pytest.approx(total)
    assert found.freedom == pytest.approx(total**2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1))
    assert over_seeds.error**2 == pytest.approx(sum(parts))
    # A system without seeds adds nothing to their part.
    assert estimates(SCORES, SCORES[:1])[1].error == pytest.approx(estimates(SCORES)[1].error)


def test_over_seeds_is_the_t_interval_of_seed_means() -> None:
    _, found = estimates(SCORES)
    expected = ttest_1samp(SCORES.mean(axis=1), 0).confidence_interval(0.95)
    limits = found.mean - found.half_width, found.mean + found.half_width
    assert limits == pytest.approx((expected.low, expected.high))


def test_over_seeds_two_systems_are_compared_as_by_welch() -> None:
    rng = np.random.default_rng(0)
    scores, others = rng.random((5, 30)), rng.random((3, 30)) / 2
    _, found = estimates(scores, others)
    expected = ttest_ind(scores.mean(axis=1), others.mean(axis=1), equal_var=False)
    assert found.mean / found.error == pytest.approx(expected.statistic)
    assert found.freedom == pytest.approx(expected.df)


def test_interval_is_over_queries_for_one_seed_and_over_both_for_several() -> None:
    one, several = intervals([SCORES[:1], SCORES])
    assert (one.kind, several.kind) == ("queries (bootstrap)", "seeds and queries (t)")
    assert several.low < several.mean < several.high
    assert several.mean == pytest.approx(SCORES.mean(), abs=1e-6)
    assert intervals([SCORES]) == [several]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_bootstrap_contains_the_mean_and_is_the_same_every_time(values: list[float]) -> None:
    (found,) = query_bootstrap([np.array(values)])
    assert found.mean == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert min(values) - 1e-6 <= found.low <= found.mean <= found.high <= max(values) + 1e-6
    assert query_bootstrap([np.zeros(3), np.array(values)])[1] == found


def test_bootstrap_is_the_normal_approximation_for_many_queries() -> None:
    values = np.random.default_rng(0).uniform(size=5_000)
    (found,) = query_bootstrap([values])
    error = 1.96 * values.std() / len(values) ** 0.5
    assert (found.low, found.high) == pytest.approx((found.mean - error, found.mean + error), abs=error / 5)


def test_seeds_that_agree_leave_the_spread_of_queries() -> None:
    scores = np.tile(np.random.default_rng(0).random(200), (3, 1))
    found = student_interval(scores)
    error = scores[0].std(ddof=1) / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.01)


def test_constant_scores_have_no_width() -> None:
    for found in intervals([np.ones((1, 5)), np.ones((4, 5)), np.ones((1, 1))]):
        assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


def test_pigeonhole_bootstrap_draws_seeds_and_queries() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.3, (8, 1)) + rng.normal(0, 0.5, (1, 300))
    low, high = pigeonhole_bootstrap(scores, rng, resamples=4000)
    # Without an interaction the variance of the mean is the sum of both margins'.
    expected = np.sqrt(scores.mean(axis=1).var() / 8 + scores.mean(axis=0).var() / 300)
    assert low < scores.mean() < high
    assert (high - low) / (2 * 1.96) == pytest.approx(expected, rel=0.06)


def test_students_interval_covers_where_the_bootstrap_falls_short() -> None:
    found = coverage(Experiment(seeds=3, seed_spread=0.4, systems=1, queries=150), 400, np.random.default_rng(1))
    assert found["seeds and queries (t)"].interval[1] >= 0.95
    assert found["seeds and queries (bootstrap)"].interval[1] < 0.95
    assert found["queries (bootstrap)"].interval[1] < 0.85
