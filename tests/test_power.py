"""`bench power`, against the power of t-tests by statsmodels, and its rate of false alarms."""

import numpy as np
import pytest
from conftest import Cli
from statsmodels.stats.power import TTestIndPower, TTestPower

from bench.statistics.power import Design, power


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
        (("--difference", "0"), "greater than 0"),
        (("--noise", "2"), "less than or equal to 1"),
        (("--seed-sd", "-1"), "greater than or equal to 0"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, options: tuple[str, ...], complaint: str) -> None:
    said = cli("power", *options, code=2)
    assert len(said.lines) == 1 and complaint in said.lines[0]
