"""Error rates of the significance tests and coverage of the intervals, by simulation.

python benchmarks/calibration.py [TABLE ...]

A simulated query has one relevant document. Its rank for a system is log-normal: a difficulty that all systems share, a
merit of the system, an effect of the seed, and noise. The score is nDCG@10 of that rank. All tables take ten minutes.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import ttest_1samp

from bench.report.comparison import rank_intervals
from bench.statistics.intervals import LEVEL, TAILS, query_bootstrap, resample_counts, student_interval
from bench.statistics.power import Share
from bench.statistics.significance import ALPHA, holm, outliers, paired_randomisation, student_test
from bench.tables import print_table

SYSTEMS = 6
QUERIES = 400
SAMPLES = 1000
"""Sign flips per test: fewer than `bench` uses, so that many experiments can be simulated."""
SEED_SPREADS = {"none": 0.0, "as of queries": 0.1, "large": 0.4}
"""Standard deviation of the effect of a seed, in units of the logarithm of the rank."""
MERITS = (0.1, 0.2, 0.4)
INTERVALS = ("queries (bootstrap)", "seeds and queries (bootstrap)", "seeds and queries (t)")
RESAMPLES = 1000
"""Resamples of the bootstraps that `bench` does not use."""
BOARD_SYSTEMS, BOARDS, BOARD_SEEDS = 10, 5, 5
"""The size of a leaderboard."""
FALL = 3.0
"""The difference of the logarithm of the rank that a diverged seed makes."""


@dataclass(frozen=True)
class Experiment:
    """The parameters of a simulation. `merit` shifts the logarithm of the ranks of the first `better` systems. A seed
    diverges with the probability `diverging`.
    """

    seeds: int = 1
    seed_spread: float = 0.0
    merit: float = 0.0
    systems: int = SYSTEMS
    queries: int = QUERIES
    better: int = 1
    diverging: float = 0.0

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return (systems, seeds, queries) of nDCG@10."""
        shape = (self.systems, self.seeds, self.queries)
        difficulty = rng.normal(2.0, 2.0, self.queries)
        luck = rng.normal(0.0, self.seed_spread, (self.systems, self.seeds, 1))
        merit = np.zeros((self.systems, 1, 1))
        merit[: self.better] = self.merit
        if self.diverging:
            luck += FALL * (rng.random(luck.shape) < self.diverging)
        return ndcg(difficulty - merit + luck + rng.normal(0.0, 1.0, shape))

    def true_mean(self, rng: np.random.Generator, draws: int = 4_000_000) -> float:
        """Return the expected score of the first system."""
        spread = np.sqrt(2.0**2 + 1.0**2 + self.seed_spread**2)
        log_ranks = rng.normal(2.0, spread, draws) - self.merit
        means = ndcg(log_ranks).mean(), ndcg(log_ranks + FALL).mean() if self.diverging else 0.0
        return float((1 - self.diverging) * means[0] + self.diverging * means[1])


def ndcg(log_rank: np.ndarray) -> np.ndarray:
    """Return nDCG@10 of a single relevant document at these ranks."""
    rank = np.maximum(np.floor(np.exp(log_rank)), 0) + 1
    return np.where(rank <= 10, 1 / np.log2(1 + rank), 0.0)


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
    scores = [experiment.scores(rng)[0] for _ in range(repetitions)]
    found = (
        [(low, high) for _, low, high, _ in query_bootstrap([each.mean(axis=0) for each in scores])],
        [pigeonhole_bootstrap(each, rng) for each in scores],
        [student_interval(each)[1:3] for each in scores],
    )
    return {kind: covered(truth, ends) for kind, ends in zip(INTERVALS, found, strict=True)}


def covered(truth: float, ends: Sequence[tuple[float, ...]]) -> Share:
    return Share(sum(low <= truth <= high for low, high in ends), len(ends))


def pigeonhole_bootstrap(scores: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[float, ...]:
    """Return the percentile interval of the mean if seeds and queries are both resampled; `scores` is (n_seeds,
    n_queries). Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    seeds, queries = (resample_counts(size, resamples, rng) / size for size in scores.shape)
    return tuple(np.quantile(((seeds @ scores) * queries).sum(axis=1), TAILS).tolist())


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


def skewed_rows(repetitions: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """Yield the coverage of bootstraps over queries without and with correction, for means near 0, 1 and between."""
    for merit in (-4.0, 0.0, 5.0):
        for queries in (25, 50, 100, 400):
            experiment = Experiment(merit=merit, systems=1, queries=queries)
            truth = experiment.true_mean(rng)
            rows = [experiment.scores(rng)[0, 0] for _ in range(repetitions)]
            means = np.array(rows) @ (resample_counts(queries, RESAMPLES, rng) / queries).T
            plain = np.quantile(means, TAILS, axis=1).T.tolist()
            corrected = [(low, high) for _, low, high, _ in query_bootstrap(rows)]
            yield [str(queries), f"{truth:.3f}", str(covered(truth, plain)), str(covered(truth, corrected))]


def board_rows(repetitions: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """Yield the error rates of a leaderboard of ten equal systems, and of one with five equal and five better ones."""
    for merit in (0.0, MERITS[-1]):
        for spread, size in SEED_SPREADS.items():
            half = BOARD_SYSTEMS // 2
            experiment = Experiment(BOARD_SEEDS, size, merit, BOARD_SYSTEMS, better=half)
            found = [board_errors(experiment, rng) for _ in range(repetitions)]
            boards, any_board, together, ranks = map(np.array, zip(*found, strict=True))
            shares = [Share(int(each.sum()), each.size) for each in (boards, any_board, together, ranks)]
            yield [str(half) if merit else "none", spread, *map(str, shares)]


def board_errors(experiment: Experiment, rng: np.random.Generator) -> tuple[list[bool], bool, bool, list[bool]]:
    """Simulate a leaderboard. Return for each board if equal systems differ significantly, if they do on any board, if
    they do on any board after one correction of all boards together, and for each board if all ranks are in their
    intervals. The test over queries is a t-test: the randomisation test of so many pairs takes too long.
    """
    pairs = list(combinations(range(experiment.systems), 2))
    apart = experiment.better if experiment.merit else 0
    equal = np.array([(a < apart) == (b < apart) for a, b in pairs])
    p_values, false_alarms, ranks = [], [], []
    for _ in range(BOARDS):
        scores = experiment.scores(rng)
        over_queries = ttest_1samp([(scores[a] - scores[b]).mean(axis=0) for a, b in pairs], 0, axis=1).pvalue
        # Pairs without a significant difference over queries cannot become significant, nor change what Holm rejects.
        for i in np.flatnonzero(over_queries < ALPHA):
            a, b = pairs[i]
            over_queries[i] = max(over_queries[i], student_test(scores[a], scores[b]))
        p_values.append(over_queries)
        significant = holm(over_queries) < ALPHA
        false_alarms.append(bool((significant & equal).any()))
        ranks.append(_ranks_hold(scores.mean(axis=(1, 2)), pairs, significant, apart))
    together = holm(np.concatenate(p_values)) < ALPHA
    return false_alarms, any(false_alarms), bool((together & np.tile(equal, BOARDS)).any()), ranks


def _ranks_hold(means: np.ndarray, pairs: Sequence[tuple[int, int]], significant: np.ndarray, apart: int) -> bool:
    """Return True if the rank intervals contain all true ranks; the first `apart` are better than the others."""
    order = np.argsort(-means, kind="stable")
    place = np.argsort(order)
    better = np.zeros((len(means), len(means)), dtype=bool)
    for (a, b), found in zip(pairs, significant, strict=True):
        if found:
            better[min(place[a], place[b]), max(place[a], place[b])] = True
    lowest = np.where(order < apart, 1, apart + 1)
    highest = np.where(order < apart, apart, len(means))
    best, worst = rank_intervals(better)
    return bool((best <= lowest).all() and (worst >= highest).all())


def outlier_rows(repetitions: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """Yield how often seeds are outliers by the rule of `bench`, and the coverage of the interval."""
    for diverging in (0.0, 0.1):
        for seeds in (3, 5, 10):
            experiment = Experiment(seeds, SEED_SPREADS["as of queries"], systems=1, diverging=diverging)
            truth = experiment.true_mean(rng)
            scores = [experiment.scores(rng)[0] for _ in range(repetitions)]
            named = np.array([bool(outliers(each.mean(axis=1))) for each in scores])
            # A diverged seed has a mean far below those of others.
            diverged = np.array([bool((each.mean(axis=1) < truth - 0.1).any()) for each in scores])
            ends = [student_interval(each)[1:3] for each in scores]
            found = Share(int((named & diverged).sum()), int(diverged.sum())) if diverging else "-"
            false = Share(int((named & ~diverged).sum()), int((~diverged).sum()))
            yield [f"{diverging:g}", str(seeds), str(found), str(false), str(covered(truth, ends))]


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Callable[[int, np.random.Generator], Iterator[list[str]]]
    repetitions: int


def tables() -> dict[str, Table]:
    """Return the tables by the names that the command line takes."""
    base = Experiment().true_mean(np.random.default_rng(0))
    gains = [Experiment(merit=merit).true_mean(np.random.default_rng(0)) - base for merit in MERITS]
    columns = ["seeds", "seeds vary", "uncorrected", "Holm, queries", "Holm, seeds and queries"]
    columns += [f"power at {gain:+.3f}" for gain in gains]
    title = f"family-wise error of {SYSTEMS} equal systems, {QUERIES} queries, alpha {ALPHA}; nDCG@10"
    board = f"leaderboard of {BOARD_SYSTEMS} systems, {BOARDS} collections, {BOARD_SEEDS} seeds, {QUERIES} queries"
    corrections = ("error, one board", f"error, any of {BOARDS}", "error, one family of all", "ranks in intervals")
    seeds = ("found where one diverged", "false alarm where none did", "coverage")
    return {
        "errors": Table(title, columns, error_rows, 2000),
        "boards": Table(board, ["systems better", "seeds vary", *corrections], board_rows, 400),
        "coverage": Table(
            f"coverage of {LEVEL:.0%} intervals, {QUERIES} queries",
            ["seeds", "seeds vary", *INTERVALS],
            coverage_rows,
            1000,
        ),
        "skewed": Table(
            f"coverage of {LEVEL:.0%} intervals, one seed",
            ["queries", "mean", "percentile bootstrap", "BCa bootstrap"],
            skewed_rows,
            2000,
        ),
        "outliers": Table(
            f"outlying seeds, {QUERIES} queries", ["share that diverges", "seeds", *seeds], outlier_rows, 4000
        ),
    }


def main(names: Sequence[str]) -> None:
    """Print the tables of these names, or all."""
    found = tables()
    for name in names or found:
        table = found[name]
        rows = list(table.rows(table.repetitions, np.random.default_rng(0)))
        print_table(table.columns, rows, title=table.title, right=table.columns)


if __name__ == "__main__":
    main(sys.argv[1:])
