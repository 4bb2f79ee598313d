"""Runs and scores that were made elsewhere, in the leaderboards of a results folder."""

from __future__ import annotations

import csv
import gzip
import json
import math
import multiprocessing
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytrec_eval
from cells import add
from conftest import Cli

from bench.cli import main
from bench.data import Pair
from bench.data.cards import Card, get_card, load_cards
from bench.data.languages import parse_pair
from bench.results.external import published_folder
from bench.results.mteb import pair_of, read_results
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
mteb = { task = "NotesRetrieval", split = "dev" }

[[data]]
role = "test"
format = "trec"
pairs = ["swh-eng"]
files = { queries = "topics.tsv", documents = "corpus.tsv", qrels = "qrels.txt" }
"""


def mteb(*rows: Mapping[str, Any], split: str = "dev", task: str = "NotesRetrieval", **splits: Any) -> str:
    """Results of a task as MTEB writes them."""
    return json.dumps({"task_name": task, "mteb_version": "2", "scores": {**splits, split: rows}})


def row(subset: str, accuracy: Any = 0.75, **scores: Any) -> dict[str, Any]:
    return {"hf_subset": subset, "accuracy": accuracy, "languages": ["swa"], **scores}


NO_RESULTS = "is neither a TREC run nor MTEB's results, with task_name and scores"


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
        ("run", RUN.replace("q", "x"), "swh-eng", "has no query of notes swh-eng; check --dataset and --pairs"),
        ("run", RUN.replace("d3", "d9"), "swh-eng", "the document 'd9' of query 'q2' is not in notes swh-eng"),
        ("run", "nonsense", "swh-eng", "line 1"),
        ("run", RUN, "", "a run has one language pair; name it with --pairs"),
        ("e5.json", "{}", "mar-eng", NO_RESULTS),
        ("e5.json", "nonsense", "mar-eng", "e5.json: not JSON: Expecting value"),
        ("e5.json", mteb(row("swa-eng")), "mar-eng", "notes has no test for mar-eng; it has swh-eng"),
        ("e5.json", mteb(row("mar-eng")), "", "has no score of a language pair of notes"),
        (
            "e5.json",
            mteb(row("swa-eng"), task="Tatoeba"),
            "",
            "has results of Tatoeba, but notes is MTEB's NotesRetrieval",
        ),
        (
            "e5.json",
            mteb(row("swa-eng")).replace('"dev"', '"dev": [], "dev"'),
            "",
            "the key 'dev' occurs twice",
        ),
        ("e5.json", mteb(row("swa-eng"), row("swa-eng", 0.5)), "", "has two subsets for notes swh-eng: swa-eng and"),
        ("e5.json", mteb(row("swa-eng", ndcg_at_10=10**400)), "", "an integer of 401 digits"),
        ("e5.json", mteb(row("swa-eng"), split="test"), "", "has no split 'dev', which notes is; it has test"),
        (
            "e5.json",
            mteb(row("swa_Latn-eng"), row("swh_Arab-eng")),
            "",
            "has two subsets for notes swh-eng: swa_Latn-eng",
        ),
        *(
            ("e5.json", mteb(row("swa-eng", value)), "", f"swa-eng: accuracy = {value!r} is not between 0 and 1")
            for value in (75.0, -0.1, True, math.nan, "0.5")
        ),
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


def test_results_of_mteb_may_be_gzipped(imports: Imports, tmp_path: Path) -> None:
    (tmp_path / "e5.json.gz").write_bytes(gzip.compress(mteb(row("swa-eng")).encode()))
    assert imports(tmp_path / "e5.json.gz", "e5")[0] == 0


def test_means_of_mteb_stand_without_an_interval(imports: Imports, tmp_path: Path) -> None:
    imports.add({"Success@1": {"q1": 0.0, "q2": 1.0}}, method="zero-shot")
    (tmp_path / "e5.json").write_text(mteb(row("swa_Latn-eng_Latn", f1=0.7, main_score=0.7)))
    assert imports(tmp_path / "e5.json", "e5")[0] == 0
    found = imports.wide.loc["e5"]
    assert (found["Success@1"], found["Success@1 low"], found["Success@1 best rank"], found["Success@1 p"]) == (
        0.75,
        "",
        "",
        "",
    )
    assert (found["supervision"], found["pair"], found["interval"]) == ("external", "swh-eng", "")
    (line,) = (line for line in (imports.results / "leaderboard.md").read_text().splitlines() if "| e5 |" in line)
    assert "| 0.750 |" in line and "[" not in line


SCORES = {"ndcg_at_10": 0.5, "mrr_at_10": 0.25, "recall_at_100": 1, "nauc_ndcg_at_10": 0.1, "v_measure": 0.1}
SCORES |= {"nauc_mrr_at_10_std": math.nan, "ndcg_at_0": 0.5, "ndcg_at_010": 0.1, "ndcg_at_5000": 0.5}


def test_measures_are_those_with_a_name_here_and_the_split_is_that_of_the_card(tmp_path: Path) -> None:
    path = tmp_path / "e5.json"
    path.write_text(
        mteb(row("eng-deu", **SCORES), split="validation", test=[row("eng-deu", 0.1)], task="MLQARetrieval")
    )
    found = read_results(path, get_card("mlqa")).means
    # A subset of MLQA names the language of its documents first, as the files of MLQA do.
    assert found == {Pair("deu", "eng"): {"Success@1": 0.75, "nDCG@10": 0.5, "RR@10": 0.25, "R@100": 1.0}}


@pytest.mark.parametrize(
    ("collection", "subset", "pair"),
    [
        ("tatoeba", "ara-eng", "arb-eng"),
        ("tatoeba", "eng-ara", None),
        ("tatoeba", "kab-eng", None),
        ("tatoeba", "default", None),
        ("ntrex", "fil_Latn-eng_Latn", "tgl-eng"),
        ("xquad", "zh", "cmn-cmn"),
        ("xquad", "ro", None),
        ("mlqa", "ara-deu", "deu-arb"),
        ("neuclir-2022", "fas", "eng-pes"),
        ("miracl", "sw", "swh-swh"),
        ("msmarco-passage", "default", "eng-eng"),
        ("serbian", "srp_Latn-eng_Latn", "srp-eng"),
        ("serbian", "srp_Cyrl-eng_Latn", None),
    ],
)
def test_subsets_are_pairs_of_the_collection(collection: str, subset: str, pair: str | None) -> None:
    serbian = tomllib.loads(CARD.replace("swh", "srp").replace('split = "dev"', 'scripts = { srp = "Latn" }'))
    card = get_card(collection, {**load_cards(), "serbian": Card.model_validate(serbian)})
    assert pair_of(subset, card) == (pair and parse_pair(pair))


def test_subsets_of_other_pairs_are_named_and_left_out(imports: Imports, tmp_path: Path) -> None:
    (tmp_path / "e5.json").write_text(
        mteb(row("swa-eng"), *(row(f"{code}-eng") for code in ("hau", "ibo", "yor", "zul")))
    )
    code, said = imports(tmp_path / "e5.json", "e5")
    assert code == 0 and "4 subsets are not in notes; left out: hau-eng, ibo-eng, yor-eng, ...\n" in said
    assert len(list(imports.results.glob("cells/*"))) == 1


def test_published_figures_join_all_boards_of_their_collections(tmp_path: Path, cli: Cli) -> None:
    store = Store(tmp_path / "results").open()
    for dataset, pair, encoder in (
        ("tatoeba", "swh-eng", "small"),
        ("tatoeba", "swh-eng", "large"),
        ("ntrex", "tgl-eng", "small"),
        ("xquad", "deu-eng", "small"),
    ):
        scores = {"Success@1": {"q1": 0.0, "q2": 1.0}}
        add(store, scores, method="zero-shot", supervision="", dataset=dataset, pair=pair, encoder=encoder)
    for _ in range(2):
        cli("import", "--published", "--results", store.root)
    frame = pd.read_csv(store.root / "leaderboard-wide.csv", keep_default_na=False)
    external = frame[frame["supervision"] == "external + published"]
    assert external.groupby(["dataset", "encoder"]).size().to_dict() == {
        ("ntrex", "small"): 6,  # all but SONAR
        ("tatoeba", "large"): 7,
        ("tatoeba", "small"): 7,
    }
    with (published_folder() / "mteb.csv").open() as file:
        figures = {(each["task"], each["subset"], each["model"]): each["accuracy"] for each in csv.DictReader(file)}
    for each in external.itertuples():
        subset = ("Tatoeba", "swh-eng") if each.dataset == "tatoeba" else ("NTREXBitextMining", "fil_Latn-eng_Latn")
        assert external.loc[each.Index, "Success@1"] == float(figures[*subset, each.method])
    assert set(external["Success@1 low"]) | set(external["Success@1 best rank"]) | set(external["interval"]) == {""}
    (path,) = store.root.glob("cells/LaBSE.*ntrex*")
    said = cli("inspect", "cell", path)
    assert "source: https://github.com/embeddings-benchmark/results" in said.out and "date: '2026-11-28'" in said.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--published"], "has no board with published figures; there are some of "),
        (["--published", "--method", "x"], "--published takes neither a file nor --method"),
        ([], "name a file, or --published"),
        ([__file__], "a file needs --method, the name of its row, and --dataset"),
    ],
)
def test_an_import_needs_a_file_or_published_figures(
    tmp_path: Path, cli: Cli, arguments: list[str], complaint: str
) -> None:
    add(Store(tmp_path).open(), {"Success@1": {"q1": 0.0}}, dataset="xquad", pair="deu-eng")
    (line,) = cli("import", *arguments, "--results", tmp_path, code=2).lines
    assert complaint in line


def test_ties_and_queries_of_an_imported_run_are_counted(imports: Imports) -> None:
    (imports.cards / "topics.tsv").write_text(TOPICS + "q3\tNani?\n")
    imports.run.write_text("q1 Q0 d1 1 2 t\nq1 Q0 d2 2 2 t\nq3 Q0 d1 1 1 t\n")
    code, said = imports(imports.run, "x", "--pairs", "swh-eng", "--measures", "RR@10")
    assert code == 0 and said.splitlines() == [
        "notes swh-eng: left out 1 of 3 queries: no document is judged relevant to them",
        "notes swh-eng: trec_eval -c counts them as 0: there, means are 0.666667 times these",
        f"{imports.run}: 2 documents share their score with another one; "
        "ordered by descending id, as in trec_eval (--ties)",
        f"{imports.run}: no results for 1 of 2 judged queries; each scores 0 (--average)",
        f"{imports.run}: results for 1 queries without judgments; not counted",
    ]
    assert imports.wide.loc["x", "RR@10"] == 0.25  # d2 goes before d1, and q2 scores 0
    more = ("--ties", "ascending-id", "--average", "returned")
    assert imports(imports.run, "x", "--pairs", "swh-eng", "--measures", "RR@10", *more)[0] == 0
    assert imports.wide.loc["x", "RR@10"] == 1.0


@pytest.mark.parametrize("moment", ["external.write_run", "store.sealed.seal"])
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
