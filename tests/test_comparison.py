"""Comparisons of systems made by hand; `bench compare` of runs, of results folders and of methods."""

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import ir_measures
import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from cells import add, spec
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, ttest_ind, ttest_rel
from small_bench import rows
from statsmodels.stats.multitest import multipletests

from bench.data.bitext_subsets import BitextSubset
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.run_files import read_trec_run, write_run
from bench.recipe import Budget
from bench.report.comparison import (
    common_scores,
    compare,
    compare_means,
    computed_once,
    corrected,
    most_like,
    rank_intervals,
    standings,
)
from bench.report.pairwise import rivals
from bench.results.store import Record, Store
from bench.results.systems import System
from bench.statistics.significance import holm, student_test

QUERIES = tuple(f"q{i}" for i in range(40))


def system(
    method: str, scores: np.ndarray, seeds: Sequence[str] = ("0",), queries: Sequence[str] = QUERIES, **names: str
) -> System:
    return System(spec(method, seed=None, **names), tuple(seeds), tuple(queries), {"RR@10": np.atleast_2d(scores)})


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape or (1, len(QUERIES)))


def trained_system(method: str, scores: np.ndarray, training: str) -> System:
    """Return a system with a training for each row of scores; its name begins with `training`."""
    cells = tuple(Record(Path(), {"trained": {"fingerprint": f"{training} {i}"}}) for i in range(len(scores)))
    return replace(system(method, scores, seeds=list(map(str, range(len(scores))))), cells=cells)


def test_a_mean_over_one_board_without_variance_of_queries_is_welchs_test() -> None:
    a, b = np.array([0.5, 0.75, 0.625]), np.array([0.25, 0.5, 0.375, 0.625])
    flat = [np.repeat(seeds[:, None], len(QUERIES), axis=1) for seeds in (a, b)]
    pair = trained_system("a", flat[0], "a"), trained_system("b", flat[1], "b")
    (found,) = compare_means({"a - b": [pair]}, "RR@10").itertuples()
    welch = ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval()))
    assert (found.mean_a, found.mean_b, found.difference) == pytest.approx((0.625, 0.4375, 0.1875))


def test_boards_of_the_same_trainings_add_no_certainty_and_those_of_others_do() -> None:
    def found(trainings: Sequence[str]) -> pd.Series:
        names = [(f"a{training}", f"b{training}") for training in trainings]
        pairs = [
            (trained_system("a", random(1, 3, 40), one), trained_system("b", random(2, 3, 40) - 0.3, other))
            for one, other in names
        ]
        return compare_means({"a - b": pairs}, "RR@10").iloc[0]

    once, twice, apart = found("x"), found("xx"), found("xy")
    columns = ["mean_a", "mean_b", "difference", "low", "high", "p"]
    assert twice[columns].to_list() == pytest.approx(once[columns].to_list())
    assert apart["high"] - apart["low"] < once["high"] - once["low"]
    assert apart["p"] < once["p"]


def test_a_mean_over_boards_rejects_a_true_hypothesis_in_at_most_5_percent() -> None:
    rng, rejected, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        pairs = []
        for pair in range(3):  # three language pairs with their own trainings
            queries = rng.normal(0, 0.2, 40)
            systems = []
            for method in ("a", "b"):
                seeds = rng.normal(0, 0.05, 3)[:, None]
                boards = [0.5 + queries + seeds + rng.normal(0, 0.1, (3, 40)) for _ in range(2)]
                systems.append([trained_system(method, scores, f"{method}{pair}") for scores in boards])
            pairs += list(zip(*systems, strict=True))
        rejected += int(compare_means({"a - b": pairs}, "RR@10")["p"].iloc[0] < 0.05)
    assert rejected <= binom.ppf(0.999, trials, 0.05)


def test_a_single_training_is_not_tested() -> None:
    pair = system("a", random(1)), system("b", random(2))
    assert np.isnan(compare_means({"a - b": [pair]}, "RR@10")["p"].iloc[0])


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


def test_all_measures_of_a_call_are_one_family() -> None:
    def two(method: str, seed: int) -> System:
        return replace(system(method, random(seed)), scores={"RR@10": random(seed), "P@5": random(seed + 10) / 2})

    a, b, c = two("a", 0), two("b", 1), two("c", 2)
    found = compare([(a, b), (a, c), (b, c)], "RR@10", "P@5")
    assert found["measure"].tolist() == ["RR@10"] * 3 + ["P@5"] * 3
    assert set(found["family"]) == {6}
    rejected, expected, *_ = multipletests(found["p_queries"], method="holm")
    np.testing.assert_allclose(found["p_holm"], expected, atol=1e-12)
    assert (found["significant"] != 0).tolist() == rejected.tolist()
    # A part of them is a family of its own.
    alone = compare([(a, b), (a, c), (b, c)], "P@5")
    part = corrected(found[3:]).reset_index(drop=True)
    pd.testing.assert_frame_equal(part, alone)


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
    found, everything = standings([worst, same, best, worse], ["RR@10"], "worse")
    ranks = {row.system.name: (row.best_rank, row.worst_rank) for row in found.itertuples()}
    assert ranks == {"best": (1, 2), "same": (1, 2), "worse": (3, 3), "worst": (4, 4)}
    assert len(everything) == 6 and (everything["difference"] >= 0).all()
    against = found.set_index("system")
    assert against["p"].isna().tolist() == [False, False, True, False]
    assert against.loc[best, "difference"] == pytest.approx(scores.mean() / 2, abs=1e-6)
    assert against.loc[best, "p"] == compare([(each, worse) for each in (best, same, worst)], "RR@10")["p_holm"][0]
    again, _ = standings([worst, same, best, worse], ["RR@10"], "worse")
    pd.testing.assert_frame_equal(found, again)


def test_ranks_of_tests_that_are_not_transitive() -> None:
    # The first of four is significantly better than the second only, the third is no worse than the second.
    better = np.zeros((4, 4), dtype=bool)
    better[0, 1] = True
    assert rank_intervals(better) == ([1, 1, 1, 1], [3, 4, 4, 4])
    better[:3, 3] = True
    assert rank_intervals(better) == ([1, 1, 1, 4], [2, 3, 3, 4])


@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_a_higher_mean_never_has_a_worse_rank(n: int, draw: Random) -> None:
    order = draw.sample(range(n), n)  # tests on fewer queries can contradict the order of the means
    better = np.array([[order[i] < order[j] and draw.random() < 0.5 for j in range(n)] for i in range(n)])
    best, worst = rank_intervals(better)
    assert best == sorted(best) and worst == sorted(worst)
    for i in range(n):
        # No interval is narrower than the tests allow.
        assert 1 <= best[i] <= 1 + better[:, i].sum() <= n - better[i].sum() <= worst[i] <= n


def test_baseline_is_the_most_similar_system() -> None:
    bases = [system("zero-shot", random(0), scoring=scoring) for scoring in ("single-vector", "maxsim")]
    other = system("optical", random(1), scoring="maxsim")
    assert most_like(other, bases) is bases[1]
    assert most_like(bases[0], bases) is None
    assert most_like(other, []) is None


@pytest.mark.parametrize(
    ("changes", "comparable"),
    [
        ({}, True),
        ({"subset": BitextSubset(bitext_noise=0.1)}, False),
        ({"subset": BitextSubset(bitext_size=500)}, False),
        ({"train": ("bible",)}, False),
        ({"budget": Budget(5, "steps")}, False),
        ({"budget": None}, True),
        ({"train": (), "budget": None}, True),
    ],
)
def test_systems_of_other_training_data_or_budgets_are_not_compared(
    changes: dict[str, object], comparable: bool
) -> None:
    one, other = (system(name, random(0)) for name in ("optical", "psq"))
    one = replace(one, spec=replace(one.spec, train=("news",), budget=Budget(3, "steps")))
    other = replace(other, spec=replace(one.spec, methods=other.spec.methods, **changes))
    assert (most_like(one, [other]) is other) == (most_like(other, [one]) is one) == comparable
    assert len(rivals("optical", "psq", [one, other], "row:")) == comparable


def write(path: Path, lines: str) -> Path:
    path.write_text(lines)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_run_is_read_by_its_scores(tmp_path: Path, packed: bool) -> None:
    text = "q1 Q0 low 1 0.5 t\nq1\tQ0\thigh\t2\t1e1\tt\nq2 Q0 x 1 -3 t\nq1 Q0 b 7 2 t\nq1 Q0 a 8 2 t\n"
    path = tmp_path / "run"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found, tied, rounded = read_trec_run(path, 3)
    assert [document for document, _ in found["q1"]] == ["high", "b", "a"]  # a tie goes by descending id
    assert found["q1"][1][1] > found["q1"][2][1]
    assert found["q2"] == [("x", -3.0)]
    assert (tied, rounded) == (2, 0)
    assert [document for document, _ in read_trec_run(path, 2, "ascending-id").rankings["q1"]] == ["high", "a"]


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 2.5]), min_size=1, max_size=12), min_size=1, max_size=3))
def test_ties_are_those_of_trec_eval(tmp_path_factory: pytest.TempPathFactory, scores: list[list[float]]) -> None:
    """pytrec_eval ranks the file's own scores; ours were made distinct before. Ids are not in the order of bytes."""
    names = [f"{'abé'[i % 3]}{i * 7 % 13}" for i in range(12)]
    run = {f"q{i}": dict(zip(names, row, strict=False)) for i, row in enumerate(scores)}
    lines = [f"{query} Q0 {key} 0 {value} t\n" for query, of in run.items() for key, value in of.items()]
    path = write(tmp_path_factory.mktemp("run") / "run", "".join(lines))
    qrels = {query: {names[0]: 1, names[4]: 2, "elsewhere": 1} for query in run}
    found = read_trec_run(path, 100)
    names = ["nDCG@10", "AP@100", "P@5", "R@100", "Success@1"]
    ours = measures.score(found.rankings, qrels, names)
    parsed = [ir_measures.parse_measure(name) for name in names]
    for row in ir_measures.pytrec_eval.iter_calc(parsed, qrels, run):
        assert ours[str(row.measure)][row.query_id] == pytest.approx(row.value, abs=1e-12)
    assert found.tied == sum(row.count(value) for row in scores for value in set(row) if row.count(value) > 1)


def test_scores_that_float32_cannot_tell_apart_keep_their_order(tmp_path: Path) -> None:
    scores = {"a": 20000000.5, "b": 20000000.0, "c": 20000000.0, "d": -1e300, "e": -2e300}
    text = "".join(f"q1 Q0 {key} 0 {value!r} t\n" for key, value in sorted(scores.items(), reverse=True))
    found, tied, rounded = read_trec_run(write(tmp_path / "run", text), 100)
    assert [document for document, _ in found["q1"]] == ["a", "c", "b", "d", "e"]
    values = np.array([value for _, value in found["q1"]], dtype=np.float32)
    assert np.isfinite(values).all() and (values[1:] < values[:-1]).all()
    assert (tied, rounded) == (2, 3)


def test_tags_with_blanks_blank_lines_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "run", "\ufeffq1 Q0 a 1 2 my own run\n\nq1\tQ0\tb\t2\t1\tt\r\n\n \n")
    assert read_trec_run(path, 10).rankings == {"q1": [("a", 2.0), ("b", 1.0)]}


def test_queries_in_turn_change_nothing(tmp_path: Path) -> None:
    lines = [f"q{i % 3} Q0 d{i} 1 {(i * 7) % 11}{'e300' * (i % 2)} t\n" for i in range(60)]
    in_turn = read_trec_run(write(tmp_path / "in turn", "".join(lines)), 5)
    assert in_turn == read_trec_run(write(tmp_path / "sorted", "".join(sorted(lines))), 5)
    assert in_turn.tied > 0 and in_turn.rounded > 0


def test_own_runs_are_read_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = {f"q{i}": [(f"d{j}", float(np.float32(100 - j + rng.random() / 2))) for j in range(50)] for i in range(5)}
    write_run(tmp_path / "run.gz", run, "tag")
    assert read_trec_run(tmp_path / "run.gz", 100) == (run, 0, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("q1 Q0 a 1 0.5\n", "line 1: expected six columns"),
        ("q1 Q0 a 1 0.5 t\nq1 Q0 b 2 high t\n", "line 2: expected six columns with a numeric score in column 5"),
        ("q1 Q0 a 1 1_0 t\n", "line 1: expected six columns with a numeric score"),
        ("q1 Q0 a 1 nan t\n", "line 1: expected six columns with a numeric score"),
        ("q1 Q0 a 1 3 t\nq1 Q0 a 2 2 t\n", "a document occurs twice for the query 'q1'"),
        ("q1 Q0 a 1 3 t\nq2 Q0 a 1 2 t\nq1 Q0 a 2 2 t\n", "a document occurs twice for the query 'q1'"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        read_trec_run(write(tmp_path / "run", text), 10)


def test_damaged_and_missing_runs_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"q1 Q0 a 1 3 t\n" * 1000)
    (tmp_path / "half.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match=r"half\.gz is damaged"):
        read_trec_run(tmp_path / "half.gz", 10)
    with pytest.raises(BenchError, match=r"gone cannot be read: No such file"):
        read_trec_run(tmp_path / "gone", 10)


def runs(folder: Path, queries: int = 80) -> tuple[Path, Path, Path, dict[str, dict[str, int]]]:
    """Write two runs with the relevant document of each query at a random rank; return paths and judgments."""
    rng = np.random.default_rng(0)
    qrels = {f"q{i}": {f"r{i}": 1} for i in range(queries)}
    write(folder / "qrels", "".join(f"{query} 0 {next(iter(judged))} 1\n" for query, judged in qrels.items()))
    for name, worst in (("one", 5), ("other", 20)):
        lines = []
        for i in range(queries):
            documents = [f"d{j}" for j in range(25)]
            documents[rng.integers(0, worst)] = f"r{i}"
            lines += [f"q{i} Q0 {document} 0 {25 - rank} t\n" for rank, document in enumerate(documents)]
        write(folder / name, "".join(lines))
    return folder / "one", folder / "other", folder / "qrels", qrels


Compare = Callable[..., str]


@pytest.fixture
def bench_compare(cli: Cli) -> Compare:
    """Call `bench compare`; return the text on stdout, or on stderr if it fails."""

    def call(*arguments: object, code: int = 0) -> str:
        said = cli("compare", *arguments, code=code)
        return "\n".join(said.lines) if code else said.out

    return call


def test_runs_are_compared_by_judgments(tmp_path: Path, bench_compare: Compare) -> None:
    one, other, qrels, judged = runs(tmp_path)
    output = tmp_path / "differences.csv"
    printed = bench_compare(one, other, "--qrels", qrels, "--measures", "RR@10", "--output", output)
    found = {row["query"]: (float(row["a"]), float(row["b"])) for row in rows(tmp_path, output.name)}
    for column, path in enumerate((one, other)):
        run = {query: dict(ranking[:10]) for query, ranking in read_trec_run(path, 100).rankings.items()}
        expected = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate(run)
        assert {query: scores[column] for query, scores in found.items()} == {
            query: pytest.approx(values["recip_rank"]) for query, values in expected.items()
        }
    differences = np.array([a - b for a, b in found.values()])
    assert f"{differences.mean():+.4f} [" in printed
    assert re.search(r" <\.001 +- +<\.001", printed)  # the smallest p of 10,000 samples
    assert f"is better in 1 of 1 (1 significantly) than {other} written:" in " ".join(printed.split())
    largest = re.findall(r"^qrels +(q\d+) ", printed.split("differ most")[1], re.MULTILINE)
    assert len(largest) == 10
    assert abs(np.subtract(*found[largest[0]])) == abs(differences).max()


QRELS = {"q1": {"a": 1, "b": 0}, "q2": {"c": 2}, "q3": {"d": 1}, "q4": {"a": 0}}
RUN = {"q1": {"a": 1.0}, "q4": {"a": 1.0}, "q9": {"a": 1.0}}


@pytest.mark.parametrize(("average", "queries"), [("judged", 4), ("relevant", 3), ("returned", 2)])
def test_queries_that_lack_something_are_counted(tmp_path: Path, cli: Cli, average: str, queries: int) -> None:
    """One of them is missing twice, one has no relevant document, one no judgment."""
    judged = "".join(f"{query} 0 {key} {grade}\n" for query, of in QRELS.items() for key, grade in of.items())
    qrels = write(tmp_path / "qrels", judged)
    one = write(tmp_path / "one", "".join(f"{query} Q0 a 1 1 t\n" for query in RUN))
    other = write(tmp_path / "other", "q1 Q0 b 1 1 t\nq4 Q0 a 1 1 t\n")
    said = cli("compare", one, other, "--qrels", qrels, *(["--average", average] if average != "judged" else []))
    assert f" {1 / queries:.4f}  0.0000 " in said.out
    assert {line.split(": ")[1] for line in said.lines if line.startswith(f"{one}: ")} == {
        "no results for 2 of 4 judged queries; "
        f"{'not counted' if average == 'returned' else 'each scores 0'} (--average)",
        "results for 1 queries without judgments; not counted",
        "1 of 4 judged queries have no relevant document; "
        f"{'not counted' if average == 'relevant' else 'each scores 0'} (--average)",
    }
    if average == "judged":
        (mean,) = ir_measures.calc_aggregate([ir_measures.parse_measure("nDCG@10")], QRELS, RUN).values()
        assert mean == pytest.approx(1 / queries)


def test_ties_of_two_runs_are_counted_and_may_follow_the_other_order(tmp_path: Path, cli: Cli) -> None:
    qrels = write(tmp_path / "qrels", "q1 0 b 1\n")
    one = write(tmp_path / "one", "q1 Q0 a 1 1 t\nq1 Q0 b 2 1 t\n")
    other = write(tmp_path / "other", "q1 Q0 b 1 1 t\n")
    said = cli("compare", one, other, "--qrels", qrels)
    assert " 1.0000  1.0000 " in said.out
    assert (
        f"{one}: 2 documents share their score with another one; ordered by descending id, as in trec_eval (--ties)"
        in said.lines
    )
    said = cli("compare", one, other, "--qrels", qrels, "--ties", "ascending-id")
    assert " 0.6309  1.0000 " in said.out
    assert "ordered by ascending id" in "".join(said.lines) and str(other) not in "".join(said.lines)


def test_runs_need_judgments_of_their_queries(tmp_path: Path, bench_compare: Compare) -> None:
    one, other, qrels, _ = runs(tmp_path)
    assert "give their file with --qrels" in bench_compare(one, other, code=2)
    assert "other is not a file" in bench_compare(one, "other", "--qrels", qrels, code=2)
    for text, complaint in (
        ("x 0 d 1\n", "has none of the queries"),
        ("x d\n", "2 columns instead of 3 or 4"),
        ("q1 0 d 0\n", "has no relevant document"),
    ):
        assert complaint in bench_compare(one, other, "--qrels", write(tmp_path / "strange", text), code=2)


def fill(store: Store, shift: float, **changes: str) -> None:
    for pair in ("qaa-eng", "qab-eng"):
        add(store, {"nDCG@10": {f"q{i}": i / 40 + shift for i in range(20)}}, pair=pair, **changes)


def test_methods_are_compared_on_each_collection_as_one_family(tmp_path: Path, bench_compare: Compare) -> None:
    store, results = Store(tmp_path).open(), ("--results", tmp_path)
    fill(store, 0.25, config="epsilon=0.5")
    fill(store, 0.0, method="distillation")
    printed = bench_compare("optical:epsilon=0.5", "distillation", *results)
    assert len(re.findall(r"conlang qa[ab]-eng .* <\.001 +- +<\.001", printed)) == 2
    assert "better in 2 of 2 (2 significantly) than distillation" in printed
    assert "did you mean optical epsilon=0.5" in bench_compare("optical", "distillation", *results, code=2)
    assert "has no collection for 'distillation' and" in bench_compare("distillation", "distillation", *results, code=2)
    assert "p, Holm: Holm over 2 comparisons" in printed
    printed = bench_compare("optical:epsilon=0.5", "distillation", *results, "--measures", "P@5", code=2)
    assert "A or B has no scores by P@5" in printed


def test_printed_family_has_all_measures_and_collections(tmp_path: Path, bench_compare: Compare) -> None:
    store = Store(tmp_path).open()
    for method, shift in (("optical", 0.02), ("distillation", 0.0)):
        for pair, seed in (("qaa-eng", 0), ("qab-eng", 1)):
            noise = np.random.default_rng(seed if shift else 5).normal(shift, 0.1, 12)
            scores = {f"q{i}": 0.5 + value for i, value in enumerate(noise.tolist())}
            add(store, {"nDCG@10": scores, "RR@10": scores}, method=method, pair=pair)
    printed = bench_compare("optical", "distillation", "--results", tmp_path, "--measures", "nDCG@10,RR@10")
    assert "nDCG@10 tiny 10steps\n" in printed and "RR@10 tiny 10steps\n" in printed
    lines = [line.split() for line in printed.splitlines() if line.startswith("conlang qa") and "[" in line]
    found = [(float(line[-3]), float(line[-1])) for line in lines]
    p_values, corrected_values = zip(*found, strict=True)
    assert len(p_values) == 4 and min(p_values) < 0.9
    # Four times the rounding of a printed p-value, and its own rounding.
    assert corrected_values == pytest.approx(multipletests(p_values, method="holm")[1], abs=0.0025)
    assert "p, Holm: Holm over 4 comparisons" in printed


def test_several_seeds_have_a_p_value_over_seeds(tmp_path: Path, bench_compare: Compare) -> None:
    store = Store(tmp_path).open()
    for seed in range(3):
        fill(store, 0.25 + seed / 1000, seed=str(seed))
        fill(store, seed / 1000, seed=str(seed), method="distillation")
    printed = bench_compare("optical", "distillation", "--results", tmp_path)
    assert len(re.findall(r" <\.001 +<\.001 +<\.001", printed)) == 2


def test_folders_are_compared_cell_by_cell(tmp_path: Path, bench_compare: Compare) -> None:
    before, after = Store(tmp_path / "before").open(), Store(tmp_path / "after").open()
    fill(before, 0.0)
    fill(after, 0.0, code="new")
    fill(after, 0.25, method="another")
    assert "are equal in all 2" in bench_compare(after.root, before.root)
    other = Store(tmp_path / "other").open()
    fill(other, 0.25, method="another")
    assert "have no cell with the same specification" in bench_compare(before.root, other.root, code=2)


def test_collection_column_has_all_common_settings(tmp_path: Path, bench_compare: Compare) -> None:
    stores = [Store(tmp_path / name).open() for name in ("before", "after")]
    for shift, store in enumerate(stores):
        fill(store, shift / 4, students="multilingual", bitext_size="1000", bitext_noise="0.5")
        fill(store, shift / 4, method="distillation", scoring="maxsim")
    path = tmp_path / "differences.csv"
    bench_compare(*(store.root for store in stores), "--output", path)
    assert {row["collection"] for row in rows(tmp_path, path.name)} == {
        f"{method} conlang {pair}-eng tiny 10steps {rest}"
        for method, rest in (("distillation", "maxsim"), ("optical", "multilingual bitext 1,000, 50 % misaligned"))
        for pair in ("qaa", "qab")
    }


def test_function_of_scores_is_computed_once_for_equal_scores_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    calls: list[int] = []

    def means(scores: Sequence[np.ndarray], digits: int = 3) -> list[float]:
        calls.append(len(scores))
        return [round(float(each.mean()), digits) for each in scores]

    means.__module__ = "bench.statistics.intervals"
    scores = [np.array([0.25, 0.5]), np.array([[1.0], [2.0]])]
    assert [computed_once(means, scores) for _ in range(3)] == [[0.375, 1.5]] * 3
    assert computed_once(means, [each.copy() for each in scores], 2) == [0.38, 1.5]
    assert computed_once(means, [scores[0], scores[1].T]) == [0.375, 1.5]
    assert computed_once(means, []) == []
    assert calls == [2, 2, 2]
