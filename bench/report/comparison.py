"""Statistical comparisons of systems on the same queries, and the ranks that follow from them.

A paired randomisation test over queries compares scores that are averaged over seeds. Where each system has several
seeds or depends on none, Student's test over seeds and queries is computed, too, and the larger p-value counts.
Comparisons that are shown together are a family, and are corrected by Holm's procedure.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from bench.evaluation.measures import lower_is_better
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import by_length, intervals, query_bootstrap, student_interval
from bench.statistics.significance import ALPHA, SAMPLES, effect_size, holm, paired_randomisation, student_test

COMPARISON = [
    *("a", "b", "measure", "mean_a", "mean_b", "difference", "low", "high", "interval", "effect"),
    *("p_queries", "p_seeds", "p_holm", "family", "queries", "seeds_a", "seeds_b", "wins", "ties", "losses"),
    *("sign", "significant"),
]
STANDING = ["system", "measure", "mean", "sd", "low", "high", "interval", "rank", "difference", "p", "significant"]


def compare(pairs: Sequence[tuple[System, System]], measure: str, samples: int = SAMPLES) -> pd.DataFrame:
    """Compare pairs of systems by a measure, as one family. Return a row with the columns `COMPARISON` for each pair
    that has common scores; the same pairs give the same numbers.

    `difference` is the mean of `a` minus that of `b` on their common `queries`; `effect` is in standard deviations of
    the queries' differences. On `wins` of the queries `a` is better. `p_seeds` is NaN if a system has only one of
    several possible seeds. `p_holm` corrects the larger p-value. `sign` is that of the better system's advantage, 1 for
    `a`; `significant` is the sign of a significant difference, else 0.
    """
    shared = [(a, b, *found) for a, b in pairs if len((found := common_scores(a, b, measure))[0])]
    differences = [of_a.mean(axis=0) - of_b.mean(axis=0) for *_, of_a, of_b in shared]
    bootstrapped, p_queries = query_bootstrap(differences), np.ones(len(shared))
    for group, rows in by_length(differences):
        p_queries[group] = paired_randomisation(rows, np.random.default_rng(0), samples)
    direction = -1 if lower_is_better(measure) else 1
    lines = []
    for i, ((a, b, queries, of_a, of_b), difference) in enumerate(zip(shared, differences, strict=True)):
        over_seeds = max(len(of_a), len(of_b)) > 1 and all(
            each.seeds == ("",) or len(each.seeds) > 1 for each in (a, b)
        )
        interval = student_interval(of_a, of_b) if over_seeds else bootstrapped[i]
        # Equal means equal up to rounding errors.
        wins, losses = ((direction * sign * difference > 1e-9).sum() for sign in (1, -1))
        lines.append(
            {
                **{"a": a, "b": b, "measure": measure, "mean_a": of_a.mean(), "mean_b": of_b.mean()},
                **dict(zip(("difference", "low", "high", "interval"), interval, strict=True)),
                **{"effect": effect_size(difference), "p_queries": p_queries[i]},
                "p_seeds": student_test(of_a, of_b) if over_seeds else np.nan,
                **{"queries": len(queries), "seeds_a": len(of_a), "seeds_b": len(of_b)},
                **{"wins": wins, "ties": len(queries) - wins - losses, "losses": losses},
            }
        )
    frame = pd.DataFrame(lines, columns=COMPARISON)
    frame["p_holm"] = holm(frame[["p_queries", "p_seeds"]].max(axis=1).to_numpy())
    frame["family"] = len(frame)
    frame["sign"] = direction * np.sign(frame["mean_a"] - frame["mean_b"])
    frame["significant"] = frame["sign"].where(frame["p_holm"] < ALPHA, 0)
    return frame


def common_scores(a: System, b: System, measure: str) -> tuple[Sequence[str], np.ndarray, np.ndarray]:
    """Return the queries that both systems have scores for, and the scores of each, (n_seeds, n_queries)."""
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
    """Return a row with the columns `STANDING` for each system of a board that has the measure, best first, and the
    comparisons of all pairs of them. `sd` is that over seeds. `rank` is 1 + the number of systems that are
    significantly better. `difference`, `p` and `significant` compare with the most similar system called `baseline`, as
    one family.
    """
    order = 1 if lower_is_better(measure) else -1
    systems = [system for system in systems if measure in system.measures]
    systems = sorted(systems, key=lambda system: (order * system.mean(measure), system.name))
    scored = [system for system in systems if measure in system.scores]
    compared = compare(list(combinations(scored, 2)), measure)
    bases = [system for system in scored if system.name == baseline]
    against = compare([(system, base) for system in scored if (base := most_like(system, bases))], measure)
    worse = compared["b"].where(compared["significant"] > 0, compared["a"])[compared["significant"] != 0]
    beaten = Counter(worse)
    lines = {
        system: {"sd": pd.Series(system.scores[measure].mean(axis=1)).std(), "rank": 1 + beaten[system]}
        | dict(zip(("low", "high", "interval"), interval[1:], strict=True))
        for system, interval in zip(scored, intervals([system.scores[measure] for system in scored]), strict=True)
    }
    rows = [
        {"system": system, "measure": measure, "mean": system.mean(measure), **lines.get(system, {})}
        for system in systems
    ]
    columns = against.set_index("a")[["difference", "p_holm", "significant"]].rename(columns={"p_holm": "p"})
    frame = pd.DataFrame(rows, columns=STANDING[:-3]).astype({"rank": "Int64"}).join(columns, on="system")
    return frame, compared


def most_like(system: System, others: Sequence[System]) -> System | None:
    """Return the one of several systems that shares most columns with `system`; None if it is one of them."""
    if not others or system in others:
        return None
    own = system.spec.columns
    return max(others, key=lambda other: sum(other.spec.columns[name] == own[name] for name in SYSTEM))
