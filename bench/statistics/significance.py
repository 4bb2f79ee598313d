"""Paired tests of per-query scores, their correction for many comparisons, and outliers among few values.

Sources:

- randomisation: Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for Information Retrieval
  Evaluation, CIKM 2007;
- the +1: Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010;
- Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979;
- effect size: Sakai, Laboratory Experiments in Information Retrieval, 2018.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from bench.statistics.intervals import by_length, estimates

ALPHA = 0.05
SAMPLES = 10_000
"""Random sign flips per test."""
ENUMERATED = 12
"""Maximum number of queries with a difference for an exact p-value from all sign flips."""
CHUNK = 2**22
"""Maximum number of signs in memory."""
OUTLIER_ALPHA = 0.01
"""Probability of a false outlier in a normal sample."""
ONE_IN = 5
"""At most one value in this many is an outlier, or one value of a smaller sample."""


def paired_randomisation(differences: np.ndarray, rng: np.random.Generator, samples: int = SAMPLES) -> np.ndarray:
    """Return two-sided p-values, (n_tests,), from differences between two systems, (n_tests, n_queries) float64.

    The hypothesis is that the two scores of a query are exchangeable. The statistic is the mean difference. The p-value
    is (hits + 1) / (samples + 1), or exactly hits / 2^n for a small number n of queries with a difference.
    """
    differences = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    p_values = np.ones(len(differences))
    nonzero = (differences != 0).sum(axis=1)
    for row in np.flatnonzero((nonzero > 0) & (nonzero <= ENUMERATED)):
        n = nonzero[row]
        signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        p_values[row] = _extreme(signs, differences[row][differences[row] != 0]).mean()
    sampled = np.flatnonzero(nonzero > ENUMERATED)
    if len(sampled):
        n_queries, hits = differences.shape[1], np.zeros(len(sampled), dtype=np.int64)
        chunk = max(CHUNK // n_queries, 1)
        for start in range(0, samples, chunk):
            size = min(chunk, samples - start), -(-n_queries // 8)
            bits = np.unpackbits(rng.integers(0, 256, size, dtype=np.uint8), axis=1)
            hits += _extreme(1.0 - 2.0 * bits[:, :n_queries], differences[sampled]).sum(axis=0)
        p_values[sampled] = (hits + 1) / (samples + 1)
    return p_values


def randomisation_tests(differences: Sequence[np.ndarray], samples: int = SAMPLES) -> list[float]:
    """Return the p-value of each row of differences, (n_queries,). Rows of equal length have the same random signs."""
    found = np.ones(len(differences))
    for group, rows in by_length(differences):
        found[group] = paired_randomisation(rows, np.random.default_rng(0), samples)
    return found.tolist()


def _extreme(signs: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Return for each row of signs if its sum is at least as large as the observed sum, up to rounding errors."""
    limits = np.abs(differences.sum(axis=-1)) - 1e-12 * np.abs(differences).sum(axis=-1)
    return np.abs(signs @ differences.T) >= limits


def student_test(scores: np.ndarray, others: np.ndarray) -> float:
    """Return the two-sided p-value of equal means over seeds and queries, from two arrays of scores (n_seeds,
    n_queries).

    One of the systems needs several seeds.
    """
    return max(estimate.p for estimate in estimates(scores, others))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values corrected by Holm's step-down procedure, for tests with any dependence."""
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def holm_over(comparisons: int) -> str:
    """Return the text that states the size of a family."""
    return f"Holm over {comparisons:,} comparison{'' if comparisons == 1 else 's'}"


def effect_size(differences: np.ndarray) -> float:
    """Return the mean divided by the standard deviation of per-query differences; NaN if they are all equal."""
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    return float(np.mean(differences)) / spread if spread > 0 else float("nan")


def outliers(values: Sequence[float] | np.ndarray, alpha: float = OUTLIER_ALPHA) -> list[int]:
    """Return the indices of outliers, most extreme first. Fewer than three values have none.

    Source: the generalised extreme studentised deviate test (Rosner, Technometrics 25, 1983), which is Grubbs' test for
    one outlier.
    """
    values = np.asarray(values, dtype=np.float64)
    left, removed, found = np.arange(len(values)), [], 0
    for _ in range(max(len(values) // ONE_IN, 1)):
        n, spread = len(left), float(values[left].std(ddof=1)) if len(left) > 2 else 0.0
        if spread < 1e-12:
            break
        deviations = np.abs(values[left] - values[left].mean()) / spread
        worst = int(deviations.argmax())
        t = -float(stdtrit(n - 2, alpha / (2 * n)))
        removed.append(int(left[worst]))
        if deviations[worst] > (n - 1) * t / np.sqrt(n * (n - 2 + t**2)):
            found = len(removed)
        left = np.delete(left, worst)
    return removed[:found]
