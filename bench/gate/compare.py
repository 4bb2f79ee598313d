"""The comparison of a baseline with new results of its suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from bench.gate.baseline import ALPHA, Baseline, Scores, is_exact
from bench.gate.compute import Found, Key
from bench.statistics.significance import holm, paired_randomisation

SAMPLES = 100_000
"""Random assignments of signs. The least p is about 1e-5, below alpha for a family of a thousand."""
COLUMNS = ["cell", "value", "baseline", "now", "difference", "tolerance", ""]


@dataclass(frozen=True)
class Change:
    """A value that moved; `now` is None if it is missing, `before` if it is new."""

    key: Key
    before: float | None
    now: float | None
    tolerance: str = "-"
    verdict: str = ""

    @property
    def row(self) -> list[str]:
        """The row of the table with `COLUMNS`."""
        figures = [_figure(self.before), _figure(self.now)]
        if self.before is None or self.now is None:
            return [*self.key, *figures, "-", self.tolerance, "new" if self.before is None else "missing"]
        difference = self.now - self.before
        verdict = "higher" if difference > 0 else "lower" if difference < 0 else "not a number"
        return [*self.key, *figures, f"{difference:+.4g}", self.tolerance, self.verdict or verdict]


def compare(baseline: Baseline, found: Sequence[Found]) -> list[Change]:
    """Return the values that moved, are missing or are new, from the results of the seeds computed again."""
    now = [one.values for one in found]
    changes = []
    for value in baseline.values:
        current = mean(one[value.key] for one in now) if all(value.key in one for one in now) else None
        if current is None or not abs(current - value.checked) <= value.tolerance:  # not, for NaN
            changes.append(Change(value.key, value.checked, current, _figure(value.tolerance)))
    if baseline.suite.by_query:
        changes += compare_queries(baseline.scores, found[0].scores)
        now = [{key: value for key, value in one.items() if key in found[0].scores or is_exact(key[1])} for one in now]
    known = set(baseline.keys)
    new = dict.fromkeys(key for one in now for key in one if key not in known)
    return changes + [Change(key, None, mean(one[key] for one in now if key in one)) for key in new]


def compare_queries(scores: Sequence[Scores], now: Mapping[Key, Mapping[str, float]]) -> list[Change]:
    """Return the cells and measures whose scores moved, query by query.

    A mean over n queries moved if it differs by more than 1 / n, and if its p-value, two-sided and adjusted by Holm's
    method for all means together, is below alpha. Scores of other queries than before count as moved.
    """
    changes = []
    compared: list[tuple[Scores, np.ndarray]] = []
    for before in scores:
        found = now.get(before.key)
        if found is None:
            changes.append(Change(before.key, before.mean, None))
        elif found.keys() != before.queries.keys():
            changes.append(Change(before.key, before.mean, mean(found.values()), verdict="other queries"))
        else:
            compared.append((before, np.array([found[query] - value for query, value in before.queries.items()])))
    rng = np.random.default_rng(0)
    adjusted = holm(np.array([_p(differences, rng) for _, differences in compared]))
    for (before, differences), p in zip(compared, adjusted.tolist(), strict=True):
        if not (p >= ALPHA or abs(differences.sum()) <= 1):  # not, for NaN
            changes.append(Change(before.key, before.mean, before.mean + float(differences.mean()), f"p = {p:.2g}"))
    return changes


def _p(differences: np.ndarray, rng: np.random.Generator) -> float:
    """Return the p-value of the differences by query; 0 if one of them is not finite."""
    finite = np.isfinite(differences).all()
    return float(paired_randomisation(differences[None], rng, SAMPLES)[0]) if finite else 0.0


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
