"""The power of a comparison, by simulation."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, ttest_1samp

from bench.statistics.intervals import LEVEL
from bench.statistics.significance import ALPHA, student_test


@dataclass(frozen=True)
class Share:
    """A share of simulated experiments, with its exact 95 % interval (Clopper and Pearson)."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        found = binomtest(self.count, self.of).proportion_ci(LEVEL)
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count / self.of:.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True)
class Design:
    """The parameters of a comparison of two methods. All effects are normal.

    `spread` is the standard deviation over queries of the difference between two students. The share `noise` of its
    variance differs from training to training, and averages out over seeds. `seed_spread` is the standard deviation
    over seeds of a method's mean. With one seed the test compares two students, so there is no effect of the seed.
    """

    queries: int
    seeds: int
    difference: float
    spread: float
    noise: float
    seed_spread: float

    def scores(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of both methods, (seeds, queries), without their common effects."""
        queries = rng.normal(self.difference, self.spread * (1 - self.noise) ** 0.5, self.queries)
        rest = rng.normal(0.0, self.spread * (self.noise / 2) ** 0.5, (2, self.seeds, self.queries))
        luck = rng.normal(0.0, self.seed_spread if self.seeds > 1 else 0.0, (2, self.seeds, 1))
        better, other = rest + luck
        return better + queries, other


def power(design: Design, rng: np.random.Generator, repetitions: int, comparisons: int = 1) -> Share:
    """Return the share of experiments in which the better method is significantly better, at alpha / `comparisons`.

    This is the first level of Holm's procedure, so the share is a lower bound. The tests are those of `bench compare`,
    with a t-test over queries in place of the randomisation test, since differences are normal.
    """
    count = 0
    for _ in range(repetitions):
        better, other = design.scores(rng)
        p = float(ttest_1samp(better.mean(axis=0) - other.mean(axis=0), 0.0).pvalue)
        if design.seeds > 1:
            p = max(p, student_test(better, other))
        count += p < ALPHA / comparisons and better.mean() > other.mean()
    return Share(int(count), repetitions)
