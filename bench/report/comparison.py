"""Two systems on the same queries: the difference, its interval, its size, and how sure one can be of it.

A comparison speaks of other queries by a paired randomisation test of the scores, averaged over seeds; where each
system has several seeds or depends on none, also of other seeds by Student's test over seeds and queries, and then the
larger of the two p-values counts. What is looked at together is a family, and corrected by Holm's procedure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.evaluation.measures import lower_is_better
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import BOOTSTRAP, STUDENT, Interval, intervals, query_bootstrap, student_interval
from bench.statistics.significance import (
    ALPHA,
    SAMPLES,
    effect_size,
    holm,
    paired_randomisation,
    student_test,
)


@dataclass(frozen=True)
class Comparison:
    """`a` against `b` by one measure, on the queries that both were asked."""

    a: System
    b: System
    measure: str
    queries: tuple[str, ...]
    seeds: tuple[int, int]
    """How many of each; a system that depends on none has 1."""
    mean_a: float
    mean_b: float
    difference: Interval
    """`mean_a` - `mean_b`."""
    effect: float
    """The difference in standard deviations of the queries' differences."""
    p_queries: float
    """Of the paired randomisation test over queries."""
    p_seeds: float | None
    """Of Student's test over seeds and queries; None where a system has but one of the seeds that it depends on."""
    p_holm: float
    """The larger of both, corrected for the family."""
    family: int
    """How many comparisons that has."""

    @property
    def p(self) -> float:
        return max(self.p_queries, self.p_seeds or 0.0)

    @property
    def better(self) -> System | None:
        """The one with the better mean; None if both are equal."""
        if self.mean_a == self.mean_b:
            return None
        return self.a if (self.mean_a > self.mean_b) != lower_is_better(self.measure) else self.b

    @property
    def is_significant(self) -> bool:
        return self.p_holm < ALPHA

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Of `a` and of `b`, (n_seeds, n_queries) each."""
        return _scores(self.a, self.measure, self.queries), _scores(self.b, self.measure, self.queries)

    @property
    def differences(self) -> np.ndarray:
        """(n_queries,): of each query, averaged over seeds."""
        of_a, of_b = self.scores
        return of_a.mean(axis=0) - of_b.mean(axis=0)


def compare(pairs: Sequence[tuple[System, System]], measure: str, samples: int = SAMPLES) -> list[Comparison]:
    """Compare each pair by a measure that both were scored by; together they are one family.

    The same pairs give the same numbers. A pair without a common query is left out.
    """
    pairs = [pair for pair in pairs if measure in pair[0].scores and measure in pair[1].scores]
    asked = [_common(a.queries, b.queries) for a, b in pairs]
    kept = [i for i, queries in enumerate(asked) if queries]
    pairs, asked = [pairs[i] for i in kept], [asked[i] for i in kept]
    if not pairs:
        return []
    scores = [
        (_scores(a, measure, queries), _scores(b, measure, queries))
        for (a, b), queries in zip(pairs, asked, strict=True)
    ]
    differences = [of_a.mean(axis=0) - of_b.mean(axis=0) for of_a, of_b in scores]
    over_seeds = [
        all(map(_tells_of_seeds, pair)) and max(map(len, each)) > 1 for pair, each in zip(pairs, scores, strict=True)
    ]
    p_queries = _p_queries(differences, samples)
    p_seeds = [student_test(*each) if several else None for each, several in zip(scores, over_seeds, strict=True)]
    corrected = holm([max(one, other or 0.0) for one, other in zip(p_queries, p_seeds, strict=True)])
    bootstrapped = query_bootstrap(differences)
    return [
        Comparison(
            *pair,
            measure,
            queries,
            (len(of_a), len(of_b)),
            float(of_a.mean()),
            float(of_b.mean()),
            Interval(*student_interval(of_a, of_b), STUDENT)
            if over_seeds[i]
            else Interval(*bootstrapped[i], BOOTSTRAP),
            effect_size(differences[i]),
            p_queries[i],
            p_seeds[i],
            float(corrected[i]),
            len(pairs),
        )
        for i, (pair, queries, (of_a, of_b)) in enumerate(zip(pairs, asked, scores, strict=True))
    ]


def _tells_of_seeds(system: System) -> bool:
    """Whether it depends on none, or has several."""
    return system.seeds == ("",) or len(system.seeds) > 1


def _scores(system: System, measure: str, queries: Sequence[str]) -> np.ndarray:
    if tuple(queries) == system.queries:
        return system.scores[measure]
    place = {query: column for column, query in enumerate(system.queries)}
    return system.scores[measure][:, [place[query] for query in queries]]


def _common(ones: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    if ones == others:
        return tuple(ones)
    known = set(others)
    return tuple(item for item in ones if item in known)


def _p_queries(rows: Sequence[np.ndarray], samples: int) -> list[float]:
    """The p-value of each row; rows of the same length are tested together, with the same random signs."""
    p_values = np.ones(len(rows))
    for length in {len(row) for row in rows}:
        group = [i for i, row in enumerate(rows) if len(row) == length]
        p_values[group] = paired_randomisation(np.array([rows[i] for i in group]), np.random.default_rng(0), samples)
    return p_values.tolist()


@dataclass(frozen=True)
class Standing:
    """Where a system stands among those of its collection, pair and encoder, by one measure."""

    mean: Interval
    spread: float | None
    """Standard deviation over seeds of the mean; None for one seed."""
    rank: int
    """1 + the number of systems that are significantly better, all pairs being one family."""
    against: Comparison | None
    """With the baseline; the comparisons of all systems with it are one family. None for the baseline itself."""


def standings(
    systems: Sequence[System], measure: str, baseline: str
) -> tuple[dict[System, Standing], list[Comparison]]:
    """The standings of the systems that were scored by a measure, and the comparisons of all pairs of them, each of a
    better one with a worse one.
    """
    systems = best_first([system for system in systems if measure in system.scores], measure)
    means = dict(zip(systems, intervals([system.scores[measure] for system in systems]), strict=True))
    everything = compare(list(combinations(systems, 2)), measure)
    against = compare([(system, base) for system in systems if (base := base_of(system, systems, baseline))], measure)
    by_system = {comparison.a: comparison for comparison in against}
    ranks = ranks_of(systems, everything)
    found = {}
    for system in systems:
        by_seed = system.scores[measure].mean(axis=1)
        spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
        found[system] = Standing(means[system], spread, ranks[system], by_system.get(system))
    return found, everything


def best_first(systems: Sequence[System], measure: str) -> list[System]:
    """By the mean of a measure; systems that have none come last."""
    sign = 1 if lower_is_better(measure) else -1
    return sorted(
        systems, key=lambda system: (measure not in system.measures, sign * system.mean(measure), system.name)
    )


def ranks_of(systems: Sequence[System], everything: Sequence[Comparison]) -> dict[System, int]:
    """The rank group of each system, given the comparisons of all pairs."""
    ranks = dict.fromkeys(systems, 1)
    for found in everything:
        if found.is_significant and found.better:
            ranks[found.b if found.better is found.a else found.a] += 1
    return ranks


def base_of(system: System, systems: Sequence[System], baseline: str) -> System | None:
    """Return the system called as the baseline that is most like `system`; None if there is none but itself."""
    return most_like(system, [other for other in systems if other.name == baseline])


def most_like(system: System, others: Sequence[System]) -> System | None:
    """Return the one of several systems with which `system` shares most columns; None if it is one of them."""
    if not others or system in others:
        return None
    own = system.spec.columns
    return max(others, key=lambda other: sum(other.spec.columns[name] == own[name] for name in SYSTEM))
