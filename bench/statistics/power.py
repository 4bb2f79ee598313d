"""The power of a comparison: how often its tests find a difference of a given size, by simulation."""

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
    """The parameters of a comparison of two methods; all effects are normal.

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
        """Return the scores of both methods, (seeds, queries), less what they have in common."""
        queries = rng.normal(self.difference, self.spread * (1 - self.noise) ** 0.5, self.queries)
        rest = rng.normal(0.0, self.spread * (self.noise / 2) ** 0.5, (2, self.seeds, self.queries))
        luck = rng.normal(0.0, self.seed_spread if self.seeds > 1 else 0.0, (2, self.seeds, 1))
        better, other = rest + luck
        return better + queries, other


def power(design: Design, rng: np.random.Generator, repetitions: int, comparisons: int = 1) -> Share:
    """Return the share of experiments in which the better method is significantly better, if it is the first of a
    family that Holm's procedure tests: at the level alpha / `comparisons`. Later ones are tested at higher levels.

    The tests are those of `bench compare`. For normal differences the t-test over queries has the p-values of the
    randomisation test, and needs no samples.
    """
    count = 0
    for _ in range(repetitions):
        better, other = design.scores(rng)
        p = float(ttest_1samp(better.mean(axis=0) - other.mean(axis=0), 0.0).pvalue)
        if design.seeds > 1:
            p = max(p, student_test(better, other))
        count += p < ALPHA / comparisons and better.mean() > other.mean()
    return Share(int(count), repetitions)
