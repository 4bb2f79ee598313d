"""Statistical comparisons of systems on the same queries, and the ranks that follow from them.

A paired randomisation test over queries compares scores that are averaged over seeds. Where each system has several
seeds or depends on none, Student's test over seeds and queries is computed, too, and the larger p-value counts.
Comparisons that are shown together are a family, and are corrected by Holm's procedure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from bench.evaluation.measures import lower_is_better
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import Interval, by_length, intervals, query_bootstrap, rounded, student_interval
from bench.statistics.significance import ALPHA, SAMPLES, effect_size, holm, paired_randomisation, student_test


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`a` against `b` by one measure, on the queries that both have scores for."""

    a: System
    b: System
    measure: str
    queries: tuple[str, ...]
    seeds: tuple[int, int]
    """The number of seeds of each; 1 for a system that depends on none."""
    mean_a: float
    mean_b: float
    difference: Interval
    effect: float
    """The difference in standard deviations of the queries' differences."""
    p_queries: float
    """The p-value of the paired randomisation test over queries."""
    p_seeds: float | None
    """The p-value of Student's test over seeds and queries; None if a system has only one of several possible seeds."""
    p_holm: float
    """The larger of both p-values, corrected for the number of comparisons in the `family`."""
    family: int

    @property
    def p(self) -> float:
        return max(self.p_queries, self.p_seeds or 0.0)

    @property
    def sign(self) -> int:
        """1 if `a` has the better mean, -1 if `b` has, 0 if both are equal."""
        return int(np.sign(self.mean_a - self.mean_b)) * (-1 if lower_is_better(self.measure) else 1)

    @property
    def significant_sign(self) -> int:
        """The `sign` of a significant difference; 0 for others."""
        return self.sign if self.p_holm < ALPHA else 0

    @property
    def numbers(self) -> dict[str, float | None]:
        """The difference with its interval, effect, p-values and size of the family, rounded as in all files."""
        interval = {"difference": self.difference.mean, "low": self.difference.low, "high": self.difference.high}
        names = ("effect", "p_queries", "p_seeds", "p_holm")
        return interval | {name: rounded(getattr(self, name)) for name in names} | {"family": self.family}

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """The number of queries on which `a` is better, equal (up to rounding errors) and worse."""
        a, b = self.scores
        gains = b - a if lower_is_better(self.measure) else a - b
        wins, losses = int((gains > 1e-9).sum()), int((gains < -1e-9).sum())
        return wins, len(gains) - wins - losses, losses

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The scores of `a` and of `b`, (n_queries,) each, averaged over seeds."""
        a, b = (_scores(system, self.measure, self.queries).mean(axis=0) for system in (self.a, self.b))
        return a, b


def compare(pairs: Sequence[tuple[System, System]], measure: str, samples: int = SAMPLES) -> list[Comparison]:
    """Compare each pair by a measure, as one family. Pairs without common scores are left out.

    The same pairs give the same numbers.
    """
    shared = [(a, b, queries) for a, b in pairs if (queries := _common_queries(a, b, measure))]
    scores = [(_scores(a, measure, queries), _scores(b, measure, queries)) for a, b, queries in shared]
    differences = [of_a.mean(axis=0) - of_b.mean(axis=0) for of_a, of_b in scores]
    bootstrapped, p_queries = query_bootstrap(differences), np.ones(len(shared))
    for group, rows in by_length(differences):
        p_queries[group] = paired_randomisation(rows, np.random.default_rng(0), samples)
    found = []
    for i, ((a, b, queries), (of_a, of_b)) in enumerate(zip(shared, scores, strict=True)):
        seeds = len(of_a), len(of_b)
        over_seeds = max(seeds) > 1 and all(system.seeds == ("",) or len(system.seeds) > 1 for system in (a, b))
        found.append(
            Comparison(
                a=a,
                b=b,
                measure=measure,
                queries=queries,
                seeds=seeds,
                mean_a=float(of_a.mean()),
                mean_b=float(of_b.mean()),
                difference=student_interval(of_a, of_b) if over_seeds else bootstrapped[i],
                effect=effect_size(differences[i]),
                p_queries=float(p_queries[i]),
                p_seeds=student_test(of_a, of_b) if over_seeds else None,
                p_holm=1.0,
                family=len(shared),
            )
        )
    corrected = holm([each.p for each in found]).tolist()
    return [replace(each, p_holm=p) for each, p in zip(found, corrected, strict=True)]


def _common_queries(a: System, b: System, measure: str) -> tuple[str, ...]:
    if measure not in a.scores or measure not in b.scores:
        return ()
    if a.queries == b.queries:
        return a.queries
    known = set(b.queries)
    return tuple(query for query in a.queries if query in known)


def _scores(system: System, measure: str, queries: Sequence[str]) -> np.ndarray:
    if queries == system.queries:
        return system.scores[measure]
    column = {query: i for i, query in enumerate(system.queries)}
    return system.scores[measure][:, [column[query] for query in queries]]


@dataclass(frozen=True)
class Standing:
    """The result of a system among those of its collection, pair and encoder, by one measure."""

    mean: Interval
    spread: float | None
    """Standard deviation over seeds of the mean; None for one seed."""
    rank: int
    """1 + the number of systems that are significantly better; all pairs are one family."""
    against: Comparison | None
    """The comparison with the baseline, in the family of all systems against it; None for the baseline itself."""

    @property
    def numbers(self) -> dict[str, Any]:
        """The mean with its interval and spread, the rank, and difference and p-value against the baseline."""
        mean, against = self.mean, self.against
        return {
            **{"mean": mean.mean, "low": mean.low, "high": mean.high, "interval": mean.kind, "rank": self.rank},
            "sd": rounded(self.spread),
            "difference": against and against.difference.mean,
            "p": against and rounded(against.p_holm),
        }


def standings(
    systems: Sequence[System], measure: str, baseline: str
) -> tuple[dict[System, Standing], list[Comparison]]:
    """Return the standings of the systems that have scores by a measure, and the comparisons of all pairs of them, with
    the better system first.
    """
    systems = best_first([system for system in systems if measure in system.scores], measure)
    means = intervals([system.scores[measure] for system in systems])
    compared = compare(list(combinations(systems, 2)), measure)
    bases = [system for system in systems if system.name == baseline]
    against = compare([(system, base) for system in systems if (base := most_like(system, bases))], measure)
    by_system = {comparison.a: comparison for comparison in against}
    ranks = dict.fromkeys(systems, 1)
    for each in compared:
        if each.significant_sign:
            ranks[each.b if each.sign > 0 else each.a] += 1
    found = {}
    for system, mean in zip(systems, means, strict=True):
        by_seed = system.scores[measure].mean(axis=1)
        spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
        found[system] = Standing(mean, spread, ranks[system], by_system.get(system))
    return found, compared


def best_first(systems: Sequence[System], measure: str) -> list[System]:
    """Sort systems by the mean of a measure; systems without one come last."""
    sign = 1 if lower_is_better(measure) else -1
    return sorted(
        systems, key=lambda system: (measure not in system.measures, sign * system.mean(measure), system.name)
    )


def most_like(system: System, others: Sequence[System]) -> System | None:
    """Return the one of several systems that shares most columns with `system`; None if it is one of them."""
    if not others or system in others:
        return None
    own = system.spec.columns
    return max(others, key=lambda other: sum(other.spec.columns[name] == own[name] for name in SYSTEM))
