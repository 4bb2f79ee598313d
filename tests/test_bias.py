"""Language bias, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cells import add

from bench.data import Pair, TestCollection
from bench.errors import BenchError
from bench.evaluation.measures import canonical, is_deep, lower_is_better, parse_measures
from bench.evaluation.tasks import bias, language_shares
from bench.report.comparison import standings
from bench.report.leaderboard import gap_frame, leaderboard
from bench.report.report import write_leaderboard
from bench.results.store import Store
from bench.results.systems import gather

POOL = TestCollection(
    name="pool",
    pair=Pair("deu", "mul"),
    query_ids=("q1", "q2", "q3"),
    queries=("eins", "zwei", "drei"),
    document_ids=("d1", "d2", "e1", "e2", "f1"),
    documents=("a", "b", "c", "d", "e"),
    qrels={"q1": {"d1": 1, "e1": 1, "f1": 1, "e2": 0}, "q2": {"d2": 1, "e2": 1}, "q3": {"d1": 1}},
    document_languages=("deu", "deu", "eng", "eng", "fra"),
)
RUN = {
    "q1": [("d1", 9.0), ("d2", 8.0), ("e1", 7.0), ("f1", 6.0)],
    "q2": [("e2", 9.0), ("d1", 8.0)],
}


def test_ranks_of_translations_are_told_apart() -> None:
    assert bias(RUN, POOL, depth=4) == {
        "RankDistance@4": {"q1": 3.0, "q2": 4.0, "q3": 0.0},  # what is not found is at rank 5
        "MaxR@4": {"q1": 4.0, "q2": 5.0, "q3": 5.0},
    }


def test_languages_of_the_top_are_held_against_the_pool() -> None:
    assert language_shares(RUN, POOL) == {
        "deu": {"documents": 0.4, "top": 0.5},
        "eng": {"documents": 0.4, "top": 0.333333},
        "fra": {"documents": 0.2, "top": 0.166667},
    }
    assert language_shares({}, POOL)["fra"] == {"documents": 0.2, "top": 0.0}


def test_only_the_first_ten_count() -> None:
    long = replace(
        POOL,
        document_ids=tuple(f"d{i}" for i in range(20)),
        documents=("x",) * 20,
        document_languages=("deu",) * 10 + ("eng",) * 10,
    )
    run = {"q1": [(f"d{i}", float(-i)) for i in range(20)]}
    assert language_shares(run, long)["deu"] == {"documents": 0.5, "top": 1.0}


def test_measures_of_bias_are_never_asked_for_and_lower_is_better() -> None:
    with pytest.raises(BenchError, match="every collection of its task has it"):
        parse_measures(["MaxR@1000"])
    assert canonical("MaxR@1000") == "MaxR@1000"
    assert canonical("MRR@10") == "RR@10"
    assert is_deep("RankDistance@1000") and lower_is_better("RankDistance@1000")
    assert not lower_is_better("nDCG@10")


def test_less_bias_ranks_higher(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    for method, ranks in (("fair", 2.0), ("biased", 500.0), ("middling", 90.0)):
        add(store, {"MaxR@1000": {f"q{i}": ranks + i for i in range(30)}}, method=method)
    found, compared = standings(gather(store.contents().cells), "MaxR@1000", "biased")
    assert [(row.system.name, row.rank) for row in found.itertuples()] == [("fair", 1), ("middling", 2), ("biased", 3)]
    pairs = {(row.a.name, row.b.name): row.sign for row in compared.itertuples()}
    assert pairs == dict.fromkeys([("fair", "middling"), ("fair", "biased"), ("middling", "biased")], 1)
    latex = next(path for path in write_leaderboard(leaderboard(store, "biased")) if path.suffix == ".tex")
    assert r"\textbf{16.500}$^{\uparrow}$" in latex.read_text()


def test_gap_is_between_pairs_with_much_and_with_little_bitext(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    for pair, value in (("qaa-eng", 0.5), ("qab-eng", 0.25), ("qac-eng", 0.125)):
        add(store, {"RR@10": {"q": value}}, pair=pair)
    add(store, {"RR@10": {"q": 0.5}}, pair="qaa-eng", method="once")
    (row,) = gap_frame(gather(store.contents().cells), {"qab-eng": 900, "qac-eng": 10}).to_dict("records")
    assert (row["method"], row["pairs"], row["mean"]) == ("optical", 3, 0.291667)
    assert (row["much"], row["little"], row["gap"]) == (0.25, 0.3125, -0.0625)
    assert (row["worst_pair"], row["worst"], row["best_pair"], row["best"]) == ("qac-eng", 0.125, "qaa-eng", 0.5)
