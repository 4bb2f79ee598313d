"""Intervals, paired tests and power, against hand-computed variances, scipy, statsmodels and simulated scores."""

import math

import numpy as np
import pytest
from calibration import Experiment, board_errors, coverage, errors, pigeonhole_bootstrap
from conftest import Cli
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, permutation_test, ttest_1samp, ttest_ind
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from bench.statistics.intervals import estimates, intervals, query_bootstrap, student_interval
from bench.statistics.power import Design, power
from bench.statistics.significance import effect_size, holm, paired_randomisation, student_test

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


def test_over_seeds_is_the_t_interval_of_seed_means_or_welchs_test_of_two() -> None:
    _, found = estimates(SCORES)
    expected = ttest_1samp(SCORES.mean(axis=1), 0).confidence_interval(0.95)
    limits = found.mean - found.half_width, found.mean + found.half_width
    assert limits == pytest.approx((expected.low, expected.high))
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
    for found in intervals([np.ones((1, 5)), np.ones((4, 5)), np.ones((1, 1))]):
        assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
@example([0.0, 3e-159])  # the squares of its deviations are not 0, but their product is
def test_bootstrap_contains_the_mean_and_is_the_same_every_time(values: list[float]) -> None:
    (found,) = query_bootstrap([np.array(values)])
    assert found.mean == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert min(values) - 1e-6 <= found.low <= found.mean <= found.high <= max(values) + 1e-6
    assert query_bootstrap([np.zeros(3), np.array(values)])[1] == found


@pytest.mark.parametrize("count", [25, 120])
def test_bootstrap_is_scipys_with_bias_and_skewness_corrected(count: int) -> None:
    rng = np.random.default_rng(7)
    for values, step in (
        (rng.random(count) ** 6, 0.0),
        (1 - rng.exponential(0.1, count), 0.0),
        ((rng.random(count) < 0.85).astype(float), 1.0 / count),
    ):
        low, high = bootstrap((values,), np.mean, n_resamples=40_000, rng=rng, method="BCa").confidence_interval
        (found,) = query_bootstrap([values])
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low) + step)


def test_bootstrap_needs_bounded_memory_and_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(np.random.default_rng(0).random((7, 50)))
    together = query_bootstrap(rows)
    monkeypatch.setattr("bench.statistics.intervals.CHUNK", 20_000)  # two rows, or 400 resamples
    assert query_bootstrap(rows) == together


def test_seeds_that_agree_leave_the_spread_of_queries() -> None:
    scores = np.tile(np.random.default_rng(0).random(200), (3, 1))
    found = student_interval(scores)
    error = scores[0].std(ddof=1) / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.01)


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


EXACT = st.sampled_from([0.0, 0.25, 0.5, 0.625, 1.0])
"""Scores whose sums are exact, since scipy does not tolerate rounding errors."""


def scipy_p(a: np.ndarray, b: np.ndarray) -> float:
    """Return the exact p-value of the same test by scipy, which swaps samples within pairs."""

    def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(x - y, axis=axis)

    found = permutation_test((a, b), statistic, permutation_type="samples", n_resamples=math.inf, vectorized=True)
    return float(found.pvalue)


@given(st.lists(st.tuples(EXACT, EXACT), min_size=2, max_size=12))
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
    found = errors(Experiment(merit=0.8), 40, np.random.default_rng(6))  # a better system is detected
    assert found.power.interval[0] > 0.5
    assert found.queries.interval[0] <= 0.05


def test_ranks_of_a_simulated_leaderboard_are_in_their_intervals() -> None:
    rng = np.random.default_rng(7)
    experiment = Experiment(seeds=3, merit=1.5, systems=4, better=2, queries=150)
    found = [board_errors(experiment, rng) for _ in range(10)]
    boards, any_board, together, ranks = (np.array(each) for each in zip(*found, strict=True))
    assert boards.shape == ranks.shape == (10, 5)
    assert (any_board == boards.any(axis=1)).all()
    assert ranks.mean() > 0.9 and boards.mean() < 0.1 and together.mean() <= 0.3


@pytest.mark.parametrize(("difference", "comparisons"), [(0.02, 1), (0.04, 1), (0.04, 10)])
def test_power_with_one_seed_is_that_of_a_paired_t_test(difference: float, comparisons: int) -> None:
    expected = TTestPower().power(difference / 0.25, 200, 0.05 / comparisons)
    design = Design(200, 1, difference, 0.25, noise=0.5, seed_spread=0.5)
    low, high = power(design, np.random.default_rng(0), 1000, comparisons).interval
    assert low <= expected <= high


def test_power_of_many_queries_is_that_of_welchs_test_of_seed_means() -> None:
    expected = TTestIndPower().power(0.05 / 0.03, 5, 0.05)
    design = Design(500, 5, 0.05, spread=0.01, noise=0.0, seed_spread=0.03)
    low, high = power(design, np.random.default_rng(0), 1000).interval
    # Welch's test has a little less power than Student's, which knows that the variances are equal.
    assert low - 0.02 <= expected <= high + 0.03


def test_noise_averages_out_over_seeds_and_the_rest_does_not() -> None:
    def scores(noise: float, seeds: int) -> np.ndarray:
        better, other = Design(20_000, seeds, 0.1, 0.2, noise, 0.0).scores(np.random.default_rng(0))
        return better.mean(axis=0) - other.mean(axis=0)

    for seeds in (1, 4):
        assert scores(0.0, seeds).std() == pytest.approx(0.2, rel=0.02)
        assert scores(0.75, seeds).std() == pytest.approx(0.2 * (0.25 + 0.75 / seeds) ** 0.5, rel=0.02)
    assert scores(0.75, 1).mean() == pytest.approx(0.1, abs=0.01)


def test_a_tiny_difference_is_found_as_rarely_as_a_false_alarm() -> None:
    found = power(Design(100, 5, 1e-9, 0.2, 0.5, 0.01), np.random.default_rng(0), 1000)
    assert found.interval[0] <= 0.025  # the half of 5 % with the right sign


def test_table_has_a_row_per_queries_and_seeds(cli: Cli) -> None:
    options = ("--queries", "50,1000", "--seeds", "2 3", "--difference", ".02", ".1", "--repetitions", "100")
    said = cli("power", *options, "--comparisons", "12")
    rows = [line.split() for line in said.out.splitlines() if line.strip().startswith(("50 ", "1,000 "))]
    assert [row[:2] for row in rows] == [["50", "2"], ["50", "3"], ["1,000", "2"], ["1,000", "3"]]
    assert float(rows[-1][5]) > 0.9 > float(rows[0][2])
    assert "Holm over 12 comparisons, 100 experiments per share" in said.out
    assert cli("power", *options, "--comparisons", "12").out == said.out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--queries", "1"), "greater than or equal to 2"),
        (("--queries", "many"), "'many': Input should be a valid integer"),
        (("--difference", "nan"), "finite number"),
        (("--difference", "0"), "greater than or equal to 0.000000001"),
        (("--noise", "2"), "less than or equal to 1"),
        (("--seed-sd", "-1"), "greater than or equal to 0"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, options: tuple[str, ...], complaint: str) -> None:
    said = cli("power", *options, code=2)
    assert len(said.lines) == 1 and complaint in said.lines[0]
