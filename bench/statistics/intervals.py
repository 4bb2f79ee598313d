"""Intervals of a mean score: over queries, and over seeds and queries together.

A mean over seeds and queries varies with both. Queries are many and bootstrapped; seeds are few, which no bootstrap
survives (`python -m bench.statistics.calibration` shows by how much it falls short). So with more than one seed the
interval is Student's: the wider of two, one over seeds and queries by the variance of a crossed design, and one over
seed means, for the former is too narrow where two or three seeds vary much more than queries do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

LEVEL = 0.95
RESAMPLES = 1000
TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
"""The interval's ends, in percent of the distribution."""
CHUNK = 2**22
"""Numbers of a bootstrap that are in memory at once."""
DECIMALS = 6
BOOTSTRAP = "queries (bootstrap)"
STUDENT = "seeds and queries (t)"


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, rounded to 6 decimals, and what it speaks of."""

    mean: float
    low: float
    high: float
    kind: str
    """`BOOTSTRAP` or `STUDENT`."""


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error, and the error's degrees of freedom."""

    mean: float
    error: float
    freedom: float


def intervals(scores: Sequence[np.ndarray]) -> list[Interval]:
    """The intervals of means, each of (n_seeds, n_queries) scores; functions of the scores alone."""
    alone = [i for i, each in enumerate(scores) if len(each) == 1]
    found = dict(zip(alone, query_bootstrap([scores[i][0] for i in alone]), strict=True))
    return [
        Interval(*found[i], BOOTSTRAP) if i in found else Interval(*student_interval(each), STUDENT)
        for i, each in enumerate(scores)
    ]


def query_bootstrap(rows: Sequence[np.ndarray]) -> list[tuple[float, float, float]]:
    """Mean and percentile-bootstrap interval over queries of each of the rows, (n_queries,) values each."""
    by_length: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(i)
    found: dict[int, tuple[float, float, float]] = {}
    for length, group in by_length.items():
        values = np.array([rows[i] for i in group])
        rng, chunk = np.random.default_rng(0), max(CHUNK // length, 1)
        parts = [_shares(length, min(chunk, RESAMPLES - start), rng) @ values.T for start in range(0, RESAMPLES, chunk)]
        low, high = np.percentile(np.concatenate(parts), TAILS, axis=0)
        for i, *limits in zip(group, values.mean(axis=1), low, high, strict=True):
            mean, low_i, high_i = (round(float(limit), DECIMALS) for limit in limits)
            found[i] = mean, low_i, high_i
    return [found[i] for i in range(len(rows))]


def pigeonhole_bootstrap(scores: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[float, ...]:
    """Mean and percentile interval when seeds and queries are both drawn again; `scores` is (n_seeds, n_queries).

    Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    seeds, queries = (_shares(size, resamples, rng) for size in scores.shape)
    means = ((seeds @ scores) * queries).sum(axis=1)
    return float(scores.mean()), *map(float, np.percentile(means, TAILS))


def _shares(size: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, size): the share of each in a sample of that many with replacement."""
    drawn = rng.integers(0, size, (resamples, size)) + size * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size) / size


def student_interval(scores: np.ndarray, others: np.ndarray | None = None) -> tuple[float, float, float]:
    """Mean and Student's interval over other seeds and other queries, of one system's scores, (n_seeds, n_queries), or
    of their difference from another's, (any number of seeds, n_queries).
    """
    reach = max(map(half_width, estimates(scores, others)))
    mean = float(scores.mean()) - (0.0 if others is None else float(others.mean()))
    return round(mean, DECIMALS), round(mean - reach, DECIMALS), round(mean + reach, DECIMALS)


def half_width(estimate: Estimate) -> float:
    """Half of the interval that belongs to an estimate."""
    return float(student_t.ppf((1 + LEVEL) / 2, estimate.freedom)) * estimate.error if estimate.error > 0 else 0.0


def estimates(scores: np.ndarray, others: np.ndarray | None = None) -> tuple[Estimate, Estimate]:
    """The mean, or the difference of two means, with its error over seeds and queries, and over seeds alone.

    Seeds are not paired: two systems' trainings are independent, whatever their seeds are called, and may differ in
    number. A system of one row has no luck of seeds; that of the others is estimated from them. Scores are taken to be
    mean + seed + query + rest, with an independent rest. Per system, with S seeds and Q queries, the seeds' part of the
    variance is that of the S seed means over S, and the rest's is MS_rest / (S Q), MS_rest being the residual mean
    square of the two-way layout; the queries' part is the variance of the (differences of) query means over Q, less the
    rest's. Degrees of freedom are Satterthwaite's, with the seeds' parts as what is uncertain. For one system this is
    the test of Dorfman, Berbaum and Metz for readers and cases, corrected by Hillis (Statistics in Medicine 26, 2007),
    with seeds as readers; over seeds alone two systems are compared as by Welch.
    """
    systems = [scores] if others is None else [scores, others]
    seeds, rest, certainty = 0.0, 0.0, 0.0
    for each in systems:
        n_seeds, n_queries = each.shape
        if n_seeds > 1:
            part = float(each.mean(axis=1).var(ddof=1)) / n_seeds
            left = each - each.mean(axis=1, keepdims=True) - each.mean(axis=0) + each.mean()
            seeds += part
            certainty += part**2 / (n_seeds - 1)
            rest += float((left**2).mean()) / ((n_seeds - 1) * max(n_queries - 1, 1))
    by_query = scores.mean(axis=0) - (0.0 if others is None else others.mean(axis=0))
    queries = float(by_query.var(ddof=1)) / len(by_query) if len(by_query) > 1 else 0.0
    total = seeds + max(queries - rest, 0.0)

    def estimate(variance: float) -> Estimate:
        freedom = variance**2 / certainty if certainty > 0 else math.inf
        return Estimate(float(by_query.mean()), math.sqrt(variance), freedom)

    return estimate(total), estimate(seeds)
