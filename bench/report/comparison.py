"""Statistical comparisons of systems on the same queries, and the ranks that they allow.

A paired randomisation test over queries compares scores averaged over seeds. If each system has several seeds or
depends on none, the p-value is the larger of this test's and of Student's test over seeds and queries. Comparisons of a
table are a family, corrected by Holm's procedure.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluation.measures import lower_is_better
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import Estimate, by_length, intervals, query_bootstrap, student_interval
from bench.statistics.significance import ALPHA, SAMPLES, effect_size, holm, paired_randomisation, student_test

COMPARISON = [
    *("a", "b", "measure", "mean_a", "mean_b", "difference", "low", "high", "interval", "effect"),
    *("p_queries", "p_seeds", "p_holm", "family", "queries", "seeds_a", "seeds_b", "wins", "ties", "losses"),
    *("sign", "significant"),
]
MEANS = ["comparison", "boards", "mean_a", "mean_b", "difference", "low", "high", "p", "p_holm", "significant"]
STANDING = ["system", "measure", "mean", "sd", "low", "high", "interval", "best_rank", "worst_rank"]
AGAINST = ["difference", "p", "significant"]


def compare(pairs: Sequence[tuple[System, System]], *measures: str, samples: int = SAMPLES) -> pd.DataFrame:
    """Compare pairs of systems by some measures, as one family.

    Returns a row with the columns `COMPARISON` for each measure and pair with common scores. `difference` is the mean
    of `a` minus the mean of `b` on their common `queries`. `effect` is in standard deviations of the differences of
    queries. `wins` is the number of queries on which `a` is better. `p_seeds` is NaN if a system has a single seed of
    several possible ones. `sign` is 1 if `a` is better. `corrected` describes the other columns.
    """
    return corrected(pd.concat([_tests(pairs, measure, samples) for measure in measures], ignore_index=True))


def corrected(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return comparisons as one family.

    `p_holm` is the larger p-value of each, corrected by Holm's procedure, and `family` is their number. `significant`
    is the `sign` of a significant difference, or else 0.
    """
    p_holm = holm(comparisons[["p_queries", "p_seeds"]].max(axis=1).to_numpy())
    signs = comparisons["sign"].where(p_holm < ALPHA, 0)
    return comparisons.assign(p_holm=p_holm, family=len(comparisons), significant=signs)


def _tests(pairs: Sequence[tuple[System, System]], measure: str, samples: int) -> pd.DataFrame:
    """Return comparisons by one measure, before their correction."""
    shared = [(a, b, *found) for a, b in pairs if len((found := common_scores(a, b, measure))[0])]
    differences = [of_a.mean(axis=0) - of_b.mean(axis=0) for *_, of_a, of_b in shared]
    seeded = [_over_seeds(a, b) for a, b, *_ in shared]
    bootstrapped = iter(query_bootstrap([row for row, over in zip(differences, seeded, strict=True) if not over]))
    p_queries = np.ones(len(shared))
    for group, rows in by_length(differences):
        p_queries[group] = paired_randomisation(rows, np.random.default_rng(0), samples)
    direction = -1 if lower_is_better(measure) else 1
    lines = []
    for i, ((a, b, queries, of_a, of_b), difference) in enumerate(zip(shared, differences, strict=True)):
        interval = student_interval(of_a, of_b) if seeded[i] else next(bootstrapped)
        # equal up to rounding errors
        wins, losses = ((direction * sign * difference > 1e-9).sum() for sign in (1, -1))
        lines.append(
            {
                **{"a": a, "b": b, "measure": measure, "mean_a": of_a.mean(), "mean_b": of_b.mean()},
                **dict(zip(("difference", "low", "high", "interval"), interval, strict=True)),
                **{"effect": effect_size(difference), "p_queries": p_queries[i]},
                "p_seeds": student_test(of_a, of_b) if seeded[i] else np.nan,
                **{"queries": len(queries), "seeds_a": len(of_a), "seeds_b": len(of_b)},
                **{"wins": wins, "ties": len(queries) - wins - losses, "losses": losses},
            }
        )
    frame = pd.DataFrame(lines, columns=COMPARISON)
    frame["sign"] = direction * np.sign(frame["mean_a"] - frame["mean_b"])
    return frame


def compare_means(claims: Mapping[str, Sequence[tuple[System, System]]], measure: str) -> pd.DataFrame:
    """Compare means over boards, as one family. A claim has a pair of systems for each board.

    Returns a row with the columns `MEANS` for each claim. The boards are those with common scores. They have equal
    weights. `p` is NaN if a system has a single seed of several possible ones.
    """
    direction, lines = -1 if lower_is_better(measure) else 1, []
    for name, pairs in claims.items():
        boards = [(pair, found[1:]) for pair in pairs if len((found := common_scores(*pair, measure))[0])]
        means = [float(np.mean([scores[side].mean() for _, scores in boards])) for side in (0, 1)]
        estimate = _mean_over_boards(boards)
        reach = estimate.half_width
        lines.append(
            [name, len(boards), *means, estimate.mean, estimate.mean - reach, estimate.mean + reach, estimate.p]
        )
    frame = pd.DataFrame(lines, columns=MEANS[:-2])
    frame["p_holm"] = holm(frame["p"].fillna(1.0).to_numpy())
    frame["significant"] = (direction * np.sign(frame["difference"])).where(frame["p_holm"] < ALPHA, 0)
    return frame


def _mean_over_boards(boards: Sequence[tuple[tuple[System, System], tuple[np.ndarray, np.ndarray]]]) -> Estimate:
    """Return the mean over boards of the difference of two systems, with its error over trainings and queries.

    `boards` are two systems with their scores of common queries, (n_seeds, n_queries). Trainings are independent. A
    training that serves several boards counts once: its scores on them are averaged first. Two boards may ask the same
    queries, so the errors over queries are added as if they were fully correlated, the largest error possible. Degrees
    of freedom are Satterthwaite's, for the variance of trainings.
    """
    trained = certainty = 0.0
    for side in (0, 1):
        groups: dict[tuple[str | None, ...], list[np.ndarray]] = {}
        for systems, scores in boards:
            trainings = tuple(cell.trained.get("fingerprint") for cell in systems[side].cells)
            groups.setdefault(trainings, []).append(scores[side].mean(axis=1))
        for means in groups.values():
            if len(shares := np.sum(means, axis=0) / len(boards)) > 1:
                part = float(shares.var(ddof=1)) / len(shares)
                trained += part
                certainty += part**2 / (len(shares) - 1)
    differences = [of_a.mean(axis=0) - of_b.mean(axis=0) for _, (of_a, of_b) in boards]
    mean = float(np.mean([each.mean() for each in differences]))
    if not all(_over_seeds(*systems) for systems, _ in boards):
        return Estimate(mean, math.nan, math.inf)
    queries = np.mean([each.std(ddof=1) / math.sqrt(len(each)) if len(each) > 1 else 0.0 for each in differences])
    variance = trained + float(queries) ** 2
    return Estimate(mean, math.sqrt(variance), variance**2 / certainty if certainty > 0 else math.inf)


def _over_seeds(a: System, b: System) -> bool:
    """Return True if each system has several seeds or depends on none."""
    return max(len(a.seeds), len(b.seeds)) > 1 and all(each.seeds == ("",) or len(each.seeds) > 1 for each in (a, b))


def common_scores(a: System, b: System, measure: str) -> tuple[Sequence[str], np.ndarray, np.ndarray]:
    """Return the common queries of two systems, and the scores of each, (n_seeds, n_queries)."""
    if measure not in a.scores or measure not in b.scores:
        return (), np.empty((1, 0)), np.empty((1, 0))
    if a.queries == b.queries:
        return a.queries, a.scores[measure], b.scores[measure]
    columns = [{query: i for i, query in enumerate(system.queries)} for system in (a, b)]
    queries = [query for query in a.queries if query in columns[1]]
    of_a, of_b = (
        system.scores[measure].take([column[query] for query in queries], axis=1)
        for system, column in zip((a, b), columns, strict=True)
    )
    return queries, of_a, of_b


def standings(systems: Sequence[System], measure: str, baseline: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row with the columns `STANDING` and `AGAINST` for each system of a board with the measure, best first,
    and the comparisons of all pairs.

    `sd` is over seeds. `rank_intervals` defines `best_rank` and `worst_rank`. The columns `AGAINST` compare with the
    most similar system called `baseline`, as one family.
    """
    order = 1 if lower_is_better(measure) else -1
    systems = [system for system in systems if measure in system.measures]
    systems = sorted(systems, key=lambda system: (order * system.mean(measure), system.name))
    scored = [system for system in systems if measure in system.scores]
    compared = compare(list(combinations(scored, 2)), measure)
    bases = [system for system in scored if system.name == baseline]
    against = compare([(system, base) for system in scored if (base := most_like(system, bases))], measure)
    best, worst = ranks(scored, compared)
    lines = {
        system: {
            "sd": pd.Series(system.scores[measure].mean(axis=1)).std(),
            **dict(zip(("low", "high", "interval"), interval[1:], strict=True)),
            **{"best_rank": best[i], "worst_rank": worst[i]},
        }
        for i, (system, interval) in enumerate(
            zip(scored, intervals([system.scores[measure] for system in scored]), strict=True)
        )
    }
    rows = [
        {"system": system, "measure": measure, "mean": system.mean(measure), **lines.get(system, {})}
        for system in systems
    ]
    columns = against.set_index("a")[["difference", "p_holm", "significant"]].set_axis(AGAINST, axis=1)
    frame = pd.DataFrame(rows, columns=STANDING).astype({"best_rank": "Int64", "worst_rank": "Int64"})
    return frame.join(columns, on="system"), compared


def ranks(systems: Sequence[Any], compared: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Return the best and the worst rank of systems, best first, from `compared`, the comparisons of all pairs."""
    place = {system: i for i, system in enumerate(systems)}
    better = np.zeros((len(place), len(place)), dtype=bool)
    for a, b, sign in zip(compared["a"], compared["b"], compared["significant"], strict=True):
        if sign and a in place and b in place:
            better[(place[a], place[b]) if sign > 0 else (place[b], place[a])] = True
    return rank_intervals(better)


def rank_intervals(better: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the best and the worst rank of each system that the tests allow.

    `better[i, j]` is True if system i is significantly better than j. Systems are ordered by their mean, best first.
    The best rank is 1 + the number of significantly better systems. The worst is the number of systems minus the number
    of significantly worse ones. If Holm's procedure covers all pairs, all true ranks are in their intervals with
    probability 1 - alpha. Tests are not transitive, so a system can have better ends than a system with a higher mean.
    Then the interval of the latter is extended. Source: Al Mohamad, Goeman and van Zwet, Simultaneous Confidence
    Intervals for Ranks, Biometrics 78, 2022.
    """
    best = 1 + better.sum(axis=0)
    worst = len(better) - better.sum(axis=1)
    return np.minimum.accumulate(best[::-1])[::-1].tolist(), np.maximum.accumulate(worst).tolist()


def most_like(system: System, others: Sequence[System]) -> System | None:
    """Return the system with the same training data and budget that shares most columns with `system`.

    None if there is none, or if `system` is among them.
    """
    fair = [other for other in others if other.spec.has_conditions_of(system.spec)]
    if not fair or system in others:
        return None
    own = system.spec.columns
    return max(fair, key=lambda other: sum(other.spec.columns[name] == own[name] for name in SYSTEM))
