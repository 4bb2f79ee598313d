"""Intervals of a mean score: over queries, and over seeds and queries together.

A mean over seeds and queries varies with both. With one seed, queries are bootstrapped, with Efron's correction for
bias and skewness (BCa), since scores near 0 and 1 are skewed. A bootstrap over few seeds is too narrow
(`benchmarks/calibration.py` measures it), so with more seeds the interval is Student's. It is the wider of two: one
over seeds and queries, by the variance of a crossed design, and one over seed means. The former is too narrow if two or
three seeds vary much more than queries.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # scipy.stats has the same, and takes longer to import

LEVEL = 0.95
RESAMPLES = 10_000
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""Quantiles of the ends of an interval."""
CHUNK = 2**22
"""Maximum size of an array of a bootstrap."""
KEPT = 2**27
"""Bytes of resamples that are kept in memory for the next measure of the same queries."""
TIED = 1e-9
"""Largest difference of means that are equal up to rounding errors."""
DECIMALS = 6
BOOTSTRAP = "queries (bootstrap)"
STUDENT = "seeds and queries (t)"


class Interval(NamedTuple):
    """A mean with its 95 % interval, rounded to 6 decimals; `kind` is `BOOTSTRAP` or `STUDENT`."""

    mean: float
    low: float
    high: float
    kind: str


class Estimate(NamedTuple):
    """A mean, its standard error, and the degrees of freedom of the error."""

    mean: float
    error: float
    freedom: float

    @property
    def half_width(self) -> float:
        """Half of the width of Student's interval."""
        return float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.error if self.error else 0.0

    @property
    def p(self) -> float:
        """The two-sided p-value of Student's test for a mean of 0."""
        if self.error == 0:
            return float(self.mean == 0)
        return float(2 * stdtr(self.freedom, -abs(self.mean) / self.error))


def intervals(scores: Sequence[np.ndarray]) -> list[Interval]:
    """Return the intervals of the means of several arrays of scores, (n_seeds, n_queries)."""
    single = [i for i, each in enumerate(scores) if len(each) == 1]
    bootstrapped = dict(zip(single, query_bootstrap([scores[i][0] for i in single]), strict=True))
    return [bootstrapped.get(i) or student_interval(each) for i, each in enumerate(scores)]


def by_length(rows: Sequence[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield indices of rows of equal length, and these rows as one array."""
    for length in sorted({len(row) for row in rows}):
        group = [i for i, row in enumerate(rows) if len(row) == length]
        yield group, np.array([rows[i] for i in group])


def query_bootstrap(rows: Sequence[np.ndarray]) -> list[Interval]:
    """Return mean and BCa bootstrap interval over queries of each row of scores, (n_queries,).

    The acceleration of a mean, by the jackknife, is its skewness. Source: Efron, Better Bootstrap Confidence Intervals,
    Journal of the American Statistical Association 82, 1987.
    """
    found: list[Interval] = [Interval(math.nan, math.nan, math.nan, BOOTSTRAP)] * len(rows)
    block = CHUNK // RESAMPLES
    for group, values in by_length(rows):
        for start in range(0, len(group), block):
            part = values[start : start + block]
            ends = _bca_ends(part, _resampled_means(part))
            for i, mean, low, high in zip(group[start : start + block], part.mean(axis=1), *ends, strict=True):
                found[i] = _interval(float(mean), float(low), float(high), BOOTSTRAP)
    return found


def _resampled_means(rows: np.ndarray) -> np.ndarray:
    """Return means of resampled queries, (n_rows, RESAMPLES), with the same queries for all rows."""
    size = rows.shape[1]
    resamples = _kept_resamples(size) if size * RESAMPLES <= KEPT else _resamples(size)
    return np.concatenate([rows @ (counts / size).T for counts in resamples], axis=1)


def _resamples(size: int) -> Iterator[np.ndarray]:
    """Yield how often each query is in each of `RESAMPLES` samples, in arrays (samples, size) uint16 or uint8."""
    rng, chunk = np.random.default_rng(0), max(CHUNK // size, 1)
    for start in range(0, RESAMPLES, chunk):
        counts = resample_counts(size, min(chunk, RESAMPLES - start), rng)
        yield counts.astype(np.uint8 if counts.max() < 2**8 else np.uint16)


@lru_cache(maxsize=1)
def _kept_resamples(size: int) -> list[np.ndarray]:
    return list(_resamples(size))


def _bca_ends(rows: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    means = rows.mean(axis=1, keepdims=True)
    below, tied = (resampled < means - TIED).mean(axis=1), (abs(resampled - means) <= TIED).mean(axis=1)
    bias = ndtri(below + tied / 2)
    cubes, squares = (((rows - means) ** power).sum(axis=1) for power in (3, 2))
    scale = 6 * squares**1.5  # 0 for equal scores and for tiny differences
    acceleration = np.divide(cubes, scale, out=np.zeros(len(rows)), where=scale > 0)
    shifted = bias + ndtri(np.array(TAILS))[:, None]
    place = ndtr(bias + shifted / (1 - acceleration * shifted)) * (resampled.shape[1] - 1)
    resampled = np.sort(resampled, axis=1)
    lower, upper = (resampled[np.arange(len(rows)), near(place).astype(int)] for near in (np.floor, np.ceil))
    return lower + (place % 1) * (upper - lower)


def resample_counts(size: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each item is in samples with replacement, (resamples, size)."""
    drawn = rng.integers(0, size, (resamples, size), dtype=np.int32) + size * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size)


def student_interval(scores: np.ndarray, others: np.ndarray | None = None) -> Interval:
    """Return mean and Student's interval over seeds and queries, for scores (n_seeds, n_queries) of one system, or for
    their difference from the scores of another system.
    """
    reach = max(estimate.half_width for estimate in estimates(scores, others))
    mean = float(scores.mean()) - (0.0 if others is None else float(others.mean()))
    return _interval(mean, mean - reach, mean + reach, STUDENT)


def _interval(mean: float, low: float, high: float, kind: str) -> Interval:
    return Interval(round(mean, DECIMALS), round(low, DECIMALS), round(high, DECIMALS), kind)


def estimates(scores: np.ndarray, others: np.ndarray | None = None) -> tuple[Estimate, Estimate]:
    """Return the mean, or the difference of two means, with its error over seeds and queries, and over seeds alone.

    Seeds are not paired, since trainings of two systems are independent. Their numbers may differ. A system of one row
    adds no variance of seeds. The model is score = mean + seed + query + rest, with an independent rest. The variance
    has three parts, for a system with S seeds and Q queries:

    - seeds: the variance of the S seed means, divided by S;
    - rest: MS_rest / (S Q), where MS_rest is the residual mean square of the two-way layout;
    - queries: the variance of the (differences of) query means, divided by Q, minus the part of the rest.

    Degrees of freedom are Satterthwaite's, for the parts of the seeds. For one system this is the test of Dorfman,
    Berbaum and Metz, corrected by Hillis (Statistics in Medicine 26, 2007), with seeds as readers and queries as cases.
    Over seeds alone, two systems are compared by Welch's test.
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
    mean = float(by_query.mean())
    total, over_seeds = (
        Estimate(mean, math.sqrt(variance), variance**2 / certainty if certainty > 0 else math.inf)
        for variance in (seeds + max(queries - rest, 0.0), seeds)
    )
    return total, over_seeds
