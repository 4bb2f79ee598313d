"""Error rates of the significance tests and coverage of the intervals, by simulation.

python benchmarks/calibration.py

A simulated query has one relevant document. Its rank for a system is log-normal: a difficulty that all systems share, a
merit of the system, an effect of the seed, and noise. The score is nDCG@10 of that rank. It takes three minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest

from bench.statistics.intervals import LEVEL, RESAMPLES, TAILS, query_bootstrap, resample_shares, student_interval
from bench.statistics.significance import ALPHA, holm, paired_randomisation, student_test
from bench.tables import print_table

SYSTEMS = 6
QUERIES = 400
SAMPLES = 1000
"""Sign flips per test: fewer than `bench` uses, so that many experiments can be simulated."""
SEED_SPREADS = {"none": 0.0, "as of queries": 0.1, "large": 0.4}
"""Standard deviation of the effect of a seed, in units of the logarithm of the rank."""
MERITS = (0.1, 0.2, 0.4)
INTERVALS = ("queries (bootstrap)", "seeds and queries (bootstrap)", "seeds and queries (t)")


@dataclass(frozen=True)
class Experiment:
    """The parameters of a simulation; `merit` shifts the logarithm of the first system's ranks."""

    seeds: int = 1
    seed_spread: float = 0.0
    merit: float = 0.0
    systems: int = SYSTEMS
    queries: int = QUERIES

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return (systems, seeds, queries) of nDCG@10."""
        shape = (self.systems, self.seeds, self.queries)
        difficulty = rng.normal(2.0, 2.0, self.queries)
        luck = rng.normal(0.0, self.seed_spread, (self.systems, self.seeds, 1))
        merit = np.zeros((self.systems, 1, 1))
        merit[0] = self.merit
        return ndcg(difficulty - merit + luck + rng.normal(0.0, 1.0, shape))

    def true_mean(self, rng: np.random.Generator, draws: int = 4_000_000) -> float:
        """Return the expected score of the first system."""
        spread = np.sqrt(2.0**2 + 1.0**2 + self.seed_spread**2)
        return float(ndcg(rng.normal(2.0, spread, draws) - self.merit).mean())


def ndcg(log_rank: np.ndarray) -> np.ndarray:
    """Return nDCG@10 of a single relevant document at these ranks."""
    rank = np.maximum(np.floor(np.exp(log_rank)), 0) + 1
    return np.where(rank <= 10, 1 / np.log2(1 + rank), 0.0)


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
class Errors:
    """Shares of experiments with a significant difference between any two equal systems: uncorrected, and corrected by
    Holm's procedure over queries alone (`queries`) and over seeds, too (`both`). `power` is the share in which the
    first system is significantly better than the second.
    """

    uncorrected: Share
    queries: Share
    both: Share
    power: Share


def errors(experiment: Experiment, repetitions: int, rng: np.random.Generator) -> Errors:
    """Simulate an experiment repeatedly and test all pairs of systems."""
    pairs = list(combinations(range(experiment.systems), 2))
    equal = np.array([experiment.merit == 0 or 0 not in pair for pair in pairs])
    counts = np.zeros(4, dtype=int)
    for _ in range(repetitions):
        scores = experiment.scores(rng)
        differences = np.array([scores[a] - scores[b] for a, b in pairs])
        over_queries = paired_randomisation(differences.mean(axis=1), rng, SAMPLES)
        both = over_queries
        if experiment.seeds > 1:
            both = np.maximum(over_queries, [student_test(scores[a], scores[b]) for a, b in pairs])
        corrected = holm(both)
        counts += [bool((p[equal] < ALPHA).any()) for p in (over_queries, holm(over_queries), corrected)] + [
            bool(corrected[0] < ALPHA and differences[0].mean() > 0)
        ]
    return Errors(*(Share(int(count), repetitions) for count in counts))


def coverage(experiment: Experiment, repetitions: int, rng: np.random.Generator) -> dict[str, Share]:
    """Return for each kind of interval the share that contains the true mean of one system."""
    truth = experiment.true_mean(rng)
    hits = dict.fromkeys(INTERVALS, 0)
    for _ in range(repetitions):
        scores = experiment.scores(rng)[0]
        bootstrap, pigeonhole = query_bootstrap([scores.mean(axis=0)])[0], pigeonhole_bootstrap(scores, rng)
        student = student_interval(scores)
        limits = ((bootstrap.low, bootstrap.high), pigeonhole, (student.low, student.high))
        for kind, (low, high) in zip(INTERVALS, limits, strict=True):
            hits[kind] += low <= truth <= high
    return {kind: Share(count, repetitions) for kind, count in hits.items()}


def pigeonhole_bootstrap(scores: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[float, ...]:
    """Return the percentile interval of the mean if seeds and queries are both resampled; `scores` is (n_seeds,
    n_queries). Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    seeds, queries = (resample_shares(size, resamples, rng) for size in scores.shape)
    return tuple(np.percentile(((seeds @ scores) * queries).sum(axis=1), TAILS).tolist())


def error_rows(repetitions: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """Yield the family-wise errors of equal systems, and the power to detect a better one."""
    for seeds, spread in [(1, "none"), *((seeds, spread) for seeds in (3, 5, 10) for spread in SEED_SPREADS)]:
        null = errors(Experiment(seeds, SEED_SPREADS[spread]), repetitions, rng)
        power = [
            errors(Experiment(seeds, SEED_SPREADS[spread], merit), repetitions // 4, rng).power for merit in MERITS
        ]
        figures = [null.uncorrected, null.queries, null.both if seeds > 1 else "-", *power]
        yield [str(seeds), spread, *map(str, figures)]


def coverage_rows(repetitions: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """Yield the coverage of the intervals for few and for more seeds."""
    for seeds in (2, 3, 5, 10):
        for spread, size in SEED_SPREADS.items():
            found = coverage(Experiment(seeds, size, systems=1), repetitions, rng)
            yield [str(seeds), spread, *map(str, found.values())]


def main(repetitions: int = 2000) -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    base = Experiment().true_mean(np.random.default_rng(0))
    gains = [Experiment(merit=merit).true_mean(np.random.default_rng(0)) - base for merit in MERITS]
    columns = ["seeds", "seeds vary", "uncorrected", "Holm, queries", "Holm, seeds and queries"]
    columns += [f"power at {gain:+.3f}" for gain in gains]
    title = f"family-wise error of {SYSTEMS} equal systems, {QUERIES} queries, alpha {ALPHA}; nDCG@10"
    print_table(columns, list(error_rows(repetitions, rng)), title=title, right=columns)
    columns = ["seeds", "seeds vary", *INTERVALS]
    title = f"coverage of {LEVEL:.0%} intervals, {QUERIES} queries"
    print_table(columns, list(coverage_rows(repetitions, rng)), title=title, right=columns)


if __name__ == "__main__":
    main()
