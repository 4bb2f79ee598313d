"""The comparison of a baseline with new results of its suite."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import numpy as np

from bench.gate.baseline import ALPHA, Baseline, Value, is_exact
from bench.gate.compute import Found, Key
from bench.statistics.significance import holm, paired_randomisation

SAMPLES = 100_000
"""Random assignments of signs. The least p is about 1e-5, below alpha for a family of a thousand."""
COLUMNS = ["cell", "value", "baseline", "now", "difference", "tolerance", ""]


def compare(baseline: Baseline, found: Sequence[Found]) -> list[list[str]]:
    """Return a row with the `COLUMNS` for each value that moved, is missing or is new, from the results of the seeds
    computed again. Scores of other queries than before count as moved.
    """
    now, scores = [one.values for one in found], found[0].scores
    rows, tested = [], []
    for value in baseline.values:
        current = mean(one[value.key] for one in now) if all(value.key in one for one in now) else None
        if not value.queries or current is None:
            if current is None or not abs(current - value.checked) <= value.tolerance:  # not, for NaN
                rows.append(_row(value.key, value.checked, current, _figure(value.tolerance)))
        elif scores[value.key].keys() != value.queries.keys():
            rows.append(_row(value.key, value.checked, current, verdict="other queries"))
        else:
            tested.append((value, np.array([scores[value.key][query] - old for query, old in value.queries.items()])))
    rows += _compare_queries(tested)
    known = {value.key for value in baseline.values}
    for key in dict.fromkeys(key for one in now for key in one if key not in known):
        if not baseline.suite.by_query or key in scores or is_exact(key[1]):
            rows.append(_row(key, None, mean(one[key] for one in now if key in one)))
    return rows


def _compare_queries(tested: Sequence[tuple[Value, np.ndarray]]) -> list[list[str]]:
    """Return a row for each value that moved, from the differences of the queries' scores.

    A mean over n queries moved if it differs by more than 1 / n, and if its p-value, two-sided and adjusted by Holm's
    method for all means together, is below alpha.
    """
    rng, rows = np.random.default_rng(0), []
    p_values = [
        float(paired_randomisation(differences, rng, SAMPLES)[0]) if np.isfinite(differences).all() else 0.0
        for _, differences in tested
    ]
    for (value, differences), p in zip(tested, holm(p_values).tolist(), strict=True):
        if not (p >= ALPHA or abs(differences.sum()) <= 1):  # not, for NaN
            rows.append(_row(value.key, value.checked, value.checked + float(differences.mean()), f"p = {p:.2g}"))
    return rows


def _row(key: Key, before: float | None, now: float | None, tolerance: str = "-", verdict: str = "") -> list[str]:
    if before is None or now is None:
        return [*key, _figure(before), _figure(now), "-", tolerance, "new" if before is None else "missing"]
    difference = now - before
    direction = "higher" if difference > 0 else "lower" if difference < 0 else "not a number"
    return [*key, _figure(before), _figure(now), f"{difference:+.4g}", tolerance, verdict or direction]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
