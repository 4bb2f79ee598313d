"""Runs and scores that were made elsewhere, in the leaderboards of a results folder."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pandas as pd
import pytest
import pytrec_eval
from cells import add

from bench.cli import main
from bench.results.store import Store

TOPICS = "q1\tMwalimu yuko wapi?\nq2\tNani anapika?\n"
CORPUS = "d1\tThe teacher is at school.\nd2\tThe cook is here.\nd3\tNobody knows.\n"
QRELS = "q1 0 d1 1\nq2 0 d2 1\n"
RUN = "q1 Q0 d1 1 3.5 pyserini\nq1 Q0 d2 2 3 pyserini\nq2 Q0 d3 1 9 pyserini\nq2 Q0 d2 2 8 pyserini\n"
CARD = """
name = "notes"
description = "Invented"
licence = "CC0 1.0"
folder = "."

[[data]]
role = "test"
format = "trec"
pairs = ["swh-eng"]
files = { queries = "topics.tsv", documents = "corpus.tsv", qrels = "qrels.txt" }
"""


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """The options of an import: a collection of one's own and a results folder."""
    cards = tmp_path / "cards"
    cards.mkdir()
    for name, text in {
        "notes.toml": CARD,
        "topics.tsv": TOPICS,
        "corpus.tsv": CORPUS,
        "qrels.txt": QRELS,
        "run.txt": RUN,
    }.items():
        (cards / name).write_text(text)
    return ["--cards", str(cards), "--dataset", "notes", "--results", str(tmp_path / "results")]


def wide(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results/leaderboard-wide.csv", keep_default_na=False).set_index("method")


def test_run_is_scored_and_joins_the_leaderboard(given: list[str], tmp_path: Path) -> None:
    store = Store(tmp_path / "results").open()
    add(store, {"RR@10": {"q1": 0.5, "q2": 0.0}}, dataset="notes", pair="swh-eng", method="zero-shot", encoder="small")
    run = str(tmp_path / "cards/run.txt")
    options = [*given, "--method", "pyserini bm25", "--pairs", "sw-en", "--measures", "RR@10"]
    assert main(["import", run, *options]) == 0
    row = wide(tmp_path).loc["pyserini bm25"]
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}}
    ranked = {"q1": {"d1": 3.5, "d2": 3.0}, "q2": {"d3": 9.0, "d2": 8.0}}
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(ranked)
    assert float(row["RR@10"]) == sum(scores["recip_rank"] for scores in expected.values()) / 2
    assert (row["uses"], row["encoder"], row["pair"]) == ("external", "small", "swh-eng")
    assert float(row["RR@10 p"]) == 0.5  # compared with the row that was there: two queries, four sign flips
    assert main(["import", run, *options]) == 0
    assert len(list((tmp_path / "results/cells").glob("pyserini-bm25.*"))) == 1
    assert "pyserini bm25" in (tmp_path / "results/leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (RUN.replace("q2", "q9"), "the query 'q9' is not in notes swh-eng; is it another collection's?"),
        (RUN.replace("d3", "d9"), "the document 'd9' of query 'q2' is not in notes swh-eng"),
        ("nonsense", "line 1 has not TREC's six columns"),
    ],
)
def test_run_of_something_else_is_refused_and_leaves_nothing(
    given: list[str], tmp_path: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text(text)
    assert main(["import", str(tmp_path / "run"), *given, "--method", "x", "--pairs", "swh-eng"]) == 2
    assert complaint in capsys.readouterr().err
    assert not list((tmp_path / "results").glob("cells/*"))


def test_run_needs_its_pair(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "cards/run.txt"), *given, "--method", "x"]) == 2
    assert "a run is of one language pair; name it with --pairs" in capsys.readouterr().err


def test_which_leaderboard_to_join_must_be_said_where_there_are_several(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "results").open()
    for encoder in ("small", "large"):
        add(store, {"RR@10": {"q1": 0.5, "q2": 0.0}}, dataset="notes", pair="swh-eng", encoder=encoder)
    options = [*given, "--method", "x", "--pairs", "swh-eng"]
    assert main(["import", str(tmp_path / "cards/run.txt"), *options]) == 2
    assert "has notes by large, small; say which to join with --encoder" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "cards/run.txt"), *options, "--encoder", "large"]) == 0


MTEB = {
    "task_name": "NTREXBitextMining",
    "scores": {
        "test": [
            {"hf_subset": "swa_Latn-eng_Latn", "accuracy": 0.75, "f1": 0.7, "main_score": 0.7, "languages": ["swa"]},
            {"hf_subset": "swh-eng", "ndcg_at_10": 0.5, "mrr_at_10": 0.25, "recall_at_100": 1, "nauc_ndcg_at_10": 0.1},
            {"hf_subset": "default", "accuracy": 0.1},
            {"hf_subset": "mar-eng", "v_measure": 0.1},
        ]
    },
}


def test_means_of_mteb_stand_without_an_interval(given: list[str], tmp_path: Path) -> None:
    store = Store(tmp_path / "results").open()
    add(store, {"Success@1": {"q1": 0.0, "q2": 1.0}}, dataset="notes", pair="swh-eng", method="zero-shot")
    (tmp_path / "e5.json").write_text(json.dumps({**MTEB, "scores": {"test": MTEB["scores"]["test"][:1]}}))  # type: ignore[index]
    assert main(["import", str(tmp_path / "e5.json"), *given, "--method", "e5"]) == 0
    row = wide(tmp_path).loc["e5"]
    assert (row["Success@1"], row["Success@1 low"], row["Success@1 rank"], row["Success@1 p"]) == (0.75, "", "", "")
    assert (row["uses"], row["pair"], row["interval"]) == ("external", "swh-eng", "")
    lines = [line for line in (tmp_path / "results/leaderboard.md").read_text().splitlines() if "| e5 |" in line]
    assert len(lines) == 1 and "| 0.750 |" in lines[0] and "[" not in lines[0]


def test_pairs_and_measures_of_mteb_are_those_with_a_name_here(tmp_path: Path) -> None:
    from bench.results.external import mteb_scores

    (tmp_path / "e5.json").write_text(json.dumps(MTEB))
    assert [(str(pair), scores) for pair, scores in mteb_scores(tmp_path / "e5.json")] == [
        ("swh-eng", {"Success@1": 0.75}),
        ("swh-eng", {"nDCG@10": 0.5, "RR@10": 0.25, "R@100": 1.0}),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "is neither a TREC run nor MTEB's results of a task"),
        ("[1]", "is neither a TREC run nor MTEB's results of a task"),
        ("nonsense", "is neither a TREC run nor MTEB's results of a task"),
        (json.dumps(MTEB), "has no score of a language pair for mar-eng"),
    ],
)
def test_what_is_none_of_mtebs_is_refused(
    given: list[str], tmp_path: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e5.json").write_text(text)
    assert main(["import", str(tmp_path / "e5.json"), *given, "--method", "e5", "--pairs", "mar-eng"]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["write_run", "seal", "note"])
def test_a_killed_import_leaves_the_old_cell(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The file changed, and the import of its new content dies at some moment."""
    run, options = tmp_path / "cards/run.txt", [*given, "--method", "bm25", "--pairs", "swh-eng", "--measures", "RR@10"]
    store = Store(tmp_path / "results")
    assert main(["import", str(run), *options]) == 0
    (before,) = store.contents().cells
    run.write_text("q1 Q0 d2 1 3.5 x\n")
    with monkeypatch.context() as patch:
        module = "bench.results.store" if moment == "seal" else "bench.results.external"
        patch.setattr(f"{module}.{moment}", lambda *_, **__: os._exit(9))
        process = multiprocessing.get_context("fork").Process(target=main, args=(["import", str(run), *options],))
        process.start()
        process.join()
    assert process.exitcode == 9
    assert [(cell.folder, cell.scores) for cell in store.contents().cells] == [(before.folder, before.scores)]
    assert main(["import", str(run), *options]) == 0
    (after,) = store.contents().cells
    assert after.scores == {"RR@10": {"q1": 0.0, "q2": 0.0}}
    assert wide(tmp_path).loc["bm25", "RR@10"] == 0
