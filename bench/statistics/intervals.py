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
STUDENT = "seeds and queries (t)"


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, rounded to 6 decimals, and what it speaks of."""

    mean: float
    low: float
    high: float
    kind: str
    """`queries (bootstrap)` or `seeds and queries (t)`."""


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
        Interval(*found[i], "queries (bootstrap)") if i in found else Interval(*student_interval(each), STUDENT)
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


def student_interval(scores: np.ndarray) -> tuple[float, float, float]:
    """Mean and Student's interval over other seeds and other queries; `scores` is (n_seeds, n_queries)."""
    reach = max(half_width(crossed(scores)), half_width(over_seeds(scores)))
    mean = float(scores.mean())
    return round(mean, DECIMALS), round(mean - reach, DECIMALS), round(mean + reach, DECIMALS)


def half_width(estimate: Estimate) -> float:
    """Half of the interval that belongs to an estimate."""
    return float(student_t.ppf((1 + LEVEL) / 2, estimate.freedom)) * estimate.error if estimate.error > 0 else 0.0


def over_seeds(scores: np.ndarray) -> Estimate:
    """The mean over seed means, which knows no other queries; `scores` is (n_seeds, n_queries)."""
    means = scores.mean(axis=1)
    return Estimate(float(means.mean()), float(means.std(ddof=1)) / math.sqrt(len(means)), len(means) - 1)


def crossed(scores: np.ndarray) -> Estimate:
    """The mean over seeds and queries with its error over both.

    `scores` is (n_seeds, n_queries), at least two of each, taken to be mean + seed + query + rest, where the rest is
    independent. With the mean squares of a two-way layout without replication the variance of the mean is estimated by

        (MS_seeds + max(MS_queries - MS_rest, 0)) / (n_seeds n_queries)

    and its degrees of freedom by Satterthwaite: (MS_seeds + max(...))^2 / (MS_seeds^2 / (n_seeds - 1)). This is the
    test of Dorfman, Berbaum and Metz for readers and cases, with the correction of Hillis (Statistics in Medicine 26,
    2007); here seeds are the readers and queries the cases.
    """
    n_seeds, n_queries = scores.shape
    mean = scores.mean()
    by_seed, by_query = scores.mean(axis=1) - mean, scores.mean(axis=0) - mean
    rest = scores - mean - by_seed[:, None] - by_query
    seeds = n_queries * float(by_seed @ by_seed) / (n_seeds - 1)
    queries = n_seeds * float(by_query @ by_query) / (n_queries - 1)
    left = float((rest**2).sum()) / ((n_seeds - 1) * (n_queries - 1))
    total = seeds + max(queries - left, 0.0)
    freedom = total**2 / (seeds**2 / (n_seeds - 1)) if seeds > 0 else float("inf")
    return Estimate(float(mean), math.sqrt(total / (n_seeds * n_queries)), freedom)
