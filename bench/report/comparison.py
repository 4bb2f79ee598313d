"""Statistical comparisons of systems on the same queries, and the ranks that they allow.

A paired randomisation test over queries compares scores averaged over seeds. If each system has several seeds or
depends on none, the p-value is the larger of this test's and of Student's test over seeds and queries. Comparisons of a
table are a family, corrected by Holm's procedure.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from bench.dependencies.fingerprint import code_digest, library_versions
from bench.evaluation.measures import lower_is_better
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import Estimate, Interval, intervals, query_bootstrap, student_interval
from bench.statistics.significance import ALPHA, SAMPLES, effect_size, holm, randomisation_tests, student_test
from bench.storage.hashing import digest, digest_bytes
from bench.storage.sealed import default_cache, remembered

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
    return corrected(_tests([(a, b, measure) for measure in measures for a, b in pairs], samples))


def corrected(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return comparisons as one family.

    `p_holm` is the larger p-value of each, corrected by Holm's procedure, and `family` is their number. `significant`
    is the `sign` of a significant difference, or else 0.
    """
    p_holm = holm(comparisons[["p_queries", "p_seeds"]].max(axis=1).to_numpy())
    signs = comparisons["sign"].where(p_holm < ALPHA, 0)
    return comparisons.assign(p_holm=p_holm, family=len(comparisons), significant=signs)


def _tests(compared: Sequence[tuple[System, System, str]], samples: int = SAMPLES) -> pd.DataFrame:
    """Return comparisons of two systems by a measure each, before their correction."""
    shared = [(*each, *found) for each in compared if len((found := common_scores(*each))[0])]
    differences = [of_a.mean(axis=0) - of_b.mean(axis=0) for *_, of_a, of_b in shared]
    seeded = [_over_seeds(a, b) for a, b, *_ in shared]
    unseeded = [row for row, over in zip(differences, seeded, strict=True) if not over]
    bootstrapped = (Interval(*each) for each in computed_once(query_bootstrap, unseeded))
    p_queries = computed_once(randomisation_tests, differences, samples)
    lines = []
    for i, ((a, b, measure, queries, of_a, of_b), difference) in enumerate(zip(shared, differences, strict=True)):
        interval = student_interval(of_a, of_b) if seeded[i] else next(bootstrapped)
        direction = -1 if lower_is_better(measure) else 1
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
                "sign": direction * np.sign(of_a.mean() - of_b.mean()),
            }
        )
    return pd.DataFrame(lines, columns=COMPARISON)


def computed_once(function: Callable[..., Any], scores: Sequence[np.ndarray], *options: int) -> Any:
    """Return the JSON value of a function of scores, from the cache if these scores were there before."""
    contents = [(each.shape, digest_bytes(each.tobytes())) for each in scores]
    about = [code_digest(function.__module__), function.__name__, library_versions("numpy", "scipy"), options]
    path = default_cache() / "statistics" / f"{digest([*about, contents])}.json"
    return remembered(path, lambda: function(scores, *options)) if scores else []


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


def standings(systems: Sequence[System], measures: Sequence[str], baseline: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row with the columns `STANDING` and `AGAINST` for each measure and each system of a board that has it,
    best first, and the comparisons of all pairs.

    `sd` is over seeds. `rank_intervals` defines `best_rank` and `worst_rank`. The columns `AGAINST` compare with the
    most similar system called `baseline`. Each measure has two families: all pairs, and these comparisons.
    """
    ranked = {measure: _best_first(systems, measure) for measure in measures}
    scored = {measure: [each for each in ranked[measure] if measure in each.scores] for measure in measures}
    tests = _tests([(a, b, measure) for measure in measures for a, b in combinations(scored[measure], 2)])
    keys = [(system, measure) for measure in measures for system in scored[measure]]
    spreads = computed_once(intervals, [system.scores[measure] for system, measure in keys])
    interval_of = dict(zip(keys, spreads, strict=True))
    rows, families = [], []
    for measure in measures:
        own = tests[tests["measure"] == measure]
        families.append(corrected(own))
        ends = dict(zip(scored[measure], zip(*ranks(scored[measure], families[-1]), strict=True), strict=True))
        against = _against(own, [system for system in scored[measure] if system.name == baseline])
        for system in ranked[measure]:
            row = {"system": system, "measure": measure, "mean": system.mean(measure)}
            if system in ends:
                row["sd"] = pd.Series(system.scores[measure].mean(axis=1)).std()
                row |= dict(zip(("low", "high", "interval"), interval_of[system, measure][1:], strict=True))
                row |= dict(zip(("best_rank", "worst_rank"), ends[system], strict=True))
            rows.append(row | against.get(system, {}))
    frame = pd.DataFrame(rows, columns=[*STANDING, *AGAINST]).astype({"best_rank": "Int64", "worst_rank": "Int64"})
    return frame, pd.concat(families, ignore_index=True)


def _best_first(systems: Sequence[System], measure: str) -> list[System]:
    order = 1 if lower_is_better(measure) else -1
    found = [system for system in systems if measure in system.measures]
    return sorted(found, key=lambda system: (order * system.mean(measure), system.name))


def _against(tests: pd.DataFrame, bases: Sequence[System]) -> dict[System, dict[str, float]]:
    """Return the columns `AGAINST` of each system with a similar one among `bases`, from the comparisons of all pairs
    before their correction.
    """
    turned = tests.assign(a=tests["b"], b=tests["a"], difference=-tests["difference"], sign=-tests["sign"])
    both = pd.concat([tests, turned])
    base = {system: most_like(system, bases) for system in dict.fromkeys(both["a"])}
    chosen = [base[a] is b for a, b in zip(both["a"], both["b"], strict=True)]
    against = corrected(both[np.array(chosen, dtype=bool)])
    columns = against[["difference", "p_holm", "significant"]].set_axis(AGAINST, axis=1)
    return dict(zip(against["a"], columns.to_dict("records"), strict=True))


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
