"""Comparisons of two systems made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from cells import spec
from scipy.stats import ttest_rel

from bench.report.comparison import common_scores, compare, most_like, standings
from bench.results.systems import System
from bench.statistics.significance import holm, student_test

QUERIES = tuple(f"q{i}" for i in range(40))


def system(
    method: str, scores: np.ndarray, seeds: Sequence[str] = ("0",), queries: Sequence[str] = QUERIES, **names: str
) -> System:
    return System(spec(method, seed=None, **names), tuple(seeds), tuple(queries), {"RR@10": np.atleast_2d(scores)})


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape or (1, len(QUERIES)))


def test_comparison_is_of_the_queries_that_both_were_asked() -> None:
    a = system("a", np.array([0.5, 0.25, 1.0]), queries=("x", "y", "z"))
    b = system("b", np.array([0.5, 0.0]), queries=("z", "y"))
    (found,) = compare([(a, b)], "RR@10").itertuples()
    queries, *scores = common_scores(a, b, "RR@10")
    assert (queries, [each.tolist() for each in scores]) == (["y", "z"], [[[0.25, 1.0]], [[0.0, 0.5]]])
    assert (found.queries, found.mean_a, found.mean_b, found.difference) == (2, 0.625, 0.25, 0.375)
    assert (found.wins, found.ties, found.losses) == (2, 0, 0)
    assert found.p_queries == 0.5  # of four sign flips two are as far from 0
    assert compare([(a, system("c", np.array([1.0]), queries=("other",)))], "RR@10").empty
    assert compare([(a, b)], "P@5").empty


def test_several_seeds_are_averaged_and_tested_unpaired() -> None:
    scores, others = random(0, 3, 40), random(1, 2, 40) / 2
    (found,) = compare([(system("a", scores, "012"), system("b", others, "70"))], "RR@10").itertuples()
    assert (found.seeds_a, found.seeds_b) == (3, 2)
    assert found.p_seeds == student_test(scores, others)
    assert found.interval == "seeds and queries (t)"


def test_one_seed_of_several_tells_nothing_of_others() -> None:
    several, one, none = system("a", random(0, 3, 40), "012"), system("b", random(1)), system("c", random(2), ("",))
    pairs = [(several, one), (several, none), (one, none), (none, system("d", random(3), ("",)))]
    expected = student_test(several.scores["RR@10"], none.scores["RR@10"])
    found = compare(pairs, "RR@10")
    np.testing.assert_equal(found["p_seeds"].to_numpy(), [np.nan, expected, np.nan, np.nan])
    assert found["interval"][0] == "queries (bootstrap)"


def test_larger_p_value_counts_and_is_corrected() -> None:
    rng = np.random.default_rng(0)
    base = system("zero-shot", rng.random((1, 40)), ("",))
    luck = np.array([[0.3], [0.0], [-0.25]])  # seeds differ more than systems
    others = [system(f"m{i}", base.scores["RR@10"] + 0.05 + luck + rng.normal(0, 0.01, (3, 40)), "012") for i in (1, 2)]
    found = compare([(other, base) for other in others], "RR@10")
    assert (found["p_queries"] < 0.001).all() and (found["p_seeds"] > 0.3).all()
    assert found["p_holm"].tolist() == holm(found["p_seeds"]).tolist()
    assert (found["family"].tolist(), found["significant"].tolist()) == ([2, 2], [0, 0])


def test_p_value_of_many_queries_is_near_that_of_a_t_test() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(0.5, 0.2, 2000)
    b = a + rng.normal(0.006, 0.2, 2000)
    names = [str(i) for i in range(2000)]
    (found,) = compare([(system("a", a, queries=names), system("b", b, queries=names))], "RR@10").itertuples()
    assert found.p_queries == pytest.approx(ttest_rel(a, b).pvalue, abs=0.015)
    assert found.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert found.low < found.difference < found.high


def test_systems_that_are_not_told_apart_share_a_rank() -> None:
    scores = random(3)
    best = system("best", scores)
    same = system("same", scores + np.resize([0.01, -0.011], 40))
    worse = system("worse", scores / 2)
    worst = system("worst", scores / 8)
    found, everything = standings([worst, same, best, worse], "RR@10", "worse")
    ranks = {row.system.name: row.rank for row in found.itertuples()}
    assert ranks == {"best": 1, "same": 1, "worse": 3, "worst": 4}
    assert len(everything) == 6 and (everything["difference"] >= 0).all()
    against = found.set_index("system")
    assert against["p"].isna().tolist() == [False, False, True, False]
    assert against.loc[best, "difference"] == pytest.approx(scores.mean() / 2, abs=1e-6)
    assert against.loc[best, "p"] == compare([(each, worse) for each in (best, same, worst)], "RR@10")["p_holm"][0]
    again, _ = standings([worst, same, best, worse], "RR@10", "worse")
    pd.testing.assert_frame_equal(found, again)


def test_baseline_is_the_most_similar_system() -> None:
    bases = [system("zero-shot", random(0), scoring=scoring) for scoring in ("single-vector", "maxsim")]
    other = system("optical", random(1), scoring="maxsim")
    assert most_like(other, bases) is bases[1]
    assert most_like(bases[0], bases) is None
    assert most_like(other, []) is None
