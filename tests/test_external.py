"""Runs and scores that were made elsewhere, in the leaderboards of a results folder."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytrec_eval
from cells import add

from bench.cli import main
from bench.results.external import mteb_scores
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


MTEB: dict[str, Any] = {
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
NO_RESULTS = "is neither a TREC run nor MTEB's results of a task"


@dataclass(frozen=True)
class Imports:
    """`bench import` into a results folder, for a collection of one's own."""

    cards: Path
    results: Path
    capture: pytest.CaptureFixture[str]

    def arguments(self, path: Path, method: str, *more: str) -> list[str]:
        where = ["--cards", str(self.cards), "--dataset", "notes", "--results", str(self.results)]
        return ["import", str(path), *where, "--method", method, *more]

    def __call__(self, path: Path, method: str, *more: str) -> tuple[int, str]:
        """The exit code and what is on stderr."""
        code = main(self.arguments(path, method, *more))
        return code, self.capture.readouterr().err

    @property
    def run(self) -> Path:
        return self.cards / "run.txt"

    @property
    def wide(self) -> pd.DataFrame:
        return pd.read_csv(self.results / "leaderboard-wide.csv", keep_default_na=False).set_index("method")

    def add(self, scores: dict[str, dict[str, float]], **changes: str) -> None:
        add(Store(self.results).open(), scores, dataset="notes", pair="swh-eng", **changes)  # type: ignore[arg-type]


@pytest.fixture
def imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Imports:
    files = {"notes.toml": CARD, "topics.tsv": TOPICS, "corpus.tsv": CORPUS, "qrels.txt": QRELS, "run.txt": RUN}
    (tmp_path / "cards").mkdir()
    for name, text in files.items():
        (tmp_path / "cards" / name).write_text(text)
    return Imports(tmp_path / "cards", tmp_path / "results", capsys)


def test_run_is_scored_and_joins_the_leaderboard(imports: Imports) -> None:
    imports.add({"RR@10": {"q1": 0.5, "q2": 0.0}}, method="zero-shot", encoder="small")
    for _ in range(2):
        assert imports(imports.run, "pyserini bm25", "--pairs", "sw-en", "--measures", "RR@10")[0] == 0
    row = imports.wide.loc["pyserini bm25"]
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}}
    ranked = {"q1": {"d1": 3.5, "d2": 3.0}, "q2": {"d3": 9.0, "d2": 8.0}}
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(ranked)
    assert float(row["RR@10"]) == sum(scores["recip_rank"] for scores in expected.values()) / 2
    assert (row["supervision"], row["encoder"], row["pair"]) == ("external", "small", "swh-eng")
    assert float(row["RR@10 p"]) == 0.5  # compared with the row that was there: two queries, four sign flips
    assert len(list((imports.results / "cells").glob("pyserini-bm25.*"))) == 1
    assert "pyserini bm25" in (imports.results / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("name", "text", "pairs", "complaint"),
    [
        ("run", RUN.replace("q2", "q9"), "swh-eng", "the query 'q9' is not in notes swh-eng; is it another collection"),
        ("run", RUN.replace("d3", "d9"), "swh-eng", "the document 'd9' of query 'q2' is not in notes swh-eng"),
        ("run", "nonsense", "swh-eng", "line 1"),
        ("run", RUN, "", "a run has one language pair; name it with --pairs"),
        ("e5.json", "{}", "mar-eng", NO_RESULTS),
        ("e5.json", "nonsense", "mar-eng", NO_RESULTS),
        ("e5.json", json.dumps(MTEB), "mar-eng", "has no score of a language pair for mar-eng"),
    ],
)
def test_what_is_something_else_is_refused_and_leaves_nothing(
    imports: Imports, tmp_path: Path, name: str, text: str, pairs: str, complaint: str
) -> None:
    (tmp_path / name).write_text(text)
    code, said = imports(tmp_path / name, "x", *(["--pairs", pairs] if pairs else []))
    assert code == 2 and complaint in said
    assert not list(imports.results.glob("cells/*"))


def test_which_leaderboard_to_join_must_be_said_where_there_are_several(imports: Imports) -> None:
    for encoder in ("small", "large"):
        imports.add({"RR@10": {"q1": 0.5, "q2": 0.0}}, encoder=encoder)
    code, said = imports(imports.run, "x", "--pairs", "swh-eng")
    assert code == 2 and "has notes by large, small; choose one with --encoder" in said
    assert imports(imports.run, "x", "--pairs", "swh-eng", "--encoder", "large")[0] == 0


def test_means_of_mteb_stand_without_an_interval(imports: Imports, tmp_path: Path) -> None:
    imports.add({"Success@1": {"q1": 0.0, "q2": 1.0}}, method="zero-shot")
    (tmp_path / "e5.json").write_text(json.dumps({"scores": {"test": MTEB["scores"]["test"][:1]}}))
    assert imports(tmp_path / "e5.json", "e5")[0] == 0
    row = imports.wide.loc["e5"]
    assert (row["Success@1"], row["Success@1 low"], row["Success@1 rank"], row["Success@1 p"]) == (0.75, "", "", "")
    assert (row["supervision"], row["pair"], row["interval"]) == ("external", "swh-eng", "")
    (line,) = (line for line in (imports.results / "leaderboard.md").read_text().splitlines() if "| e5 |" in line)
    assert "| 0.750 |" in line and "[" not in line


def test_pairs_and_measures_of_mteb_are_those_with_a_name_here(tmp_path: Path) -> None:
    (tmp_path / "e5.json").write_text(json.dumps(MTEB))
    assert [(str(pair), scores) for pair, scores in mteb_scores(tmp_path / "e5.json")] == [
        ("swh-eng", {"Success@1": 0.75}),
        ("swh-eng", {"nDCG@10": 0.5, "RR@10": 0.25, "R@100": 1.0}),
    ]


@pytest.mark.parametrize("moment", ["external.write_run", "store.seal"])
def test_a_killed_import_leaves_the_old_cell(imports: Imports, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The file changed, and the import of its new content dies at some moment."""
    arguments = imports.arguments(imports.run, "bm25", "--pairs", "swh-eng", "--measures", "RR@10")
    store = Store(imports.results)
    assert main(arguments) == 0
    (before,) = store.contents().cells
    imports.run.write_text("q1 Q0 d2 1 3.5 x\n")
    with monkeypatch.context() as patch:
        patch.setattr(f"bench.results.{moment}", lambda *_, **__: os._exit(9))
        process = multiprocessing.get_context("fork").Process(target=main, args=(arguments,))
        process.start()
        process.join()
    assert process.exitcode == 9
    assert [(cell.folder, cell.scores) for cell in store.contents().cells] == [(before.folder, before.scores)]
    assert main(arguments) == 0
    (after,) = store.contents().cells
    assert after.scores == {"RR@10": {"q1": 0.0, "q2": 0.0}}
    assert imports.wide.loc["bm25", "RR@10"] == 0
