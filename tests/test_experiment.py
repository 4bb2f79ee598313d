"""Whole comparisons with a small encoder on a small generated collection: what a user does with `bench run`."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from filelock import FileLock
from small_bench import METHODS, Bench

from bench import registry
from bench.commands.run import dry_run
from bench.data import Pair
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.encoders.encoder import Encoder, read_encoder
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.run import read_run
from bench.gate.compute import training_values
from bench.results.store import FAILURE, Record, Store
from bench.running.execute import Outcome
from bench.running.plan import make_plan
from bench.sealed import read_manifest
from bench.training.budget import Budget
from bench.training.checkpoint import Checkpoint

REFERENCES = ("zero-shot", "untrained", "oracle")
LEVELS = [("", ""), ("", "0.5"), ("50", ""), ("50", "0.5")]
PLUGIN = '''
from bench.api import TrainedMethod


class Fails(TrainedMethod):
    """Fails at its second step."""

    name = "fails"

    def batches(self, rng):
        while True:
            yield {}

    def loss(self, batch, progress):
        if progress > 0:
            raise RuntimeError("as it must\\nwith details")
        return self.student.word_embeddings.weight.sum(), {}


class Diverges(Fails):
    """Has no loss at its second step."""

    def loss(self, batch, progress):
        return self.student.word_embeddings.weight.sum() * (float("nan") if progress > 0 else 1.0), {}
'''

LEXICAL = """
import json

from bench.api import Method, Ranker


class Overlap(Ranker):
    scorings = ("overlap",)

    def __init__(self, known):
        self.known = known

    def save(self, folder, teacher):
        folder.mkdir()
        (folder / "words.json").write_text(json.dumps(sorted(self.known)))

    def rank(self, queries, documents, ids, depth, on_texts):
        asked = [set(query.split()) & self.known for query in queries]
        found = {query: [] for query in ids.queries}
        for document, text in zip(ids.documents, documents):
            words = set(text.split())
            for query, own in zip(ids.queries, asked):
                found[query].append((document, len(own & words)))
            on_texts(1)
        return found


class Lexical(Method):
    name = "lexical"
    depends_on = ("data",)
    scorings = Overlap.scorings

    def fit(self, task):
        return Overlap({word for text in task.data.bitext.document_side for word in text.split()})

    @classmethod
    def load(cls, folder, teacher):
        return Overlap(set(json.loads((folder / "words.json").read_text())))
"""


@pytest.fixture(scope="module")
def finished(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The results of all methods, computed once. No test adds to this folder."""
    folder = tmp_path_factory.mktemp("results")
    return folder, bench.execute(folder)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    return lambda name: f"{path}:{name}"


def rows(folder: Path, file: str = "leaderboard.csv") -> list[dict[str, str]]:
    with (folder / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_method_and_reference_has_its_rows(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    assert (outcome.computed, outcome.trained, outcome.reused, outcome.failed) == (6, 3, 0, 0)
    found = rows(folder)
    assert {(row["method"], row["measure"]) for row in found} == {
        (method, measure) for method in (*METHODS, *REFERENCES) for measure in measures.DEFAULT
    }
    assert len(found) == 6 * len(measures.DEFAULT)
    for row in found:
        assert (row["dataset"], row["pair"], row["scoring"], row["queries"]) == ("conlang", "qaa-eng", "mean", "20")
        assert 0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1


def test_columns_say_what_was_compared(finished: tuple[Path, Outcome], bench: Bench) -> None:
    of = {row["method"]: row for row in rows(finished[0])}
    assert {"method", "dataset", "pair", "encoder", "scoring", "seed", "measure", "value", "queries"} <= set(
        of["oracle"]
    )
    optical, zero_shot, untrained = of["optical"], of["zero-shot"], of["untrained"]
    assert (optical["budget"], optical["seed"], optical["train"], optical["uses"]) == (
        "2steps",
        "0",
        "conlang",
        "bitext",
    )
    assert (zero_shot["budget"], zero_shot["seed"], zero_shot["train"], zero_shot["uses"]) == ("", "", "", "")
    assert (untrained["budget"], untrained["seed"], untrained["train"]) == ("", "0", "conlang")
    assert {row["encoder"] for row in of.values()} == {str(bench.encoder)}


def test_costs_are_kept_apart(finished: tuple[Path, Outcome]) -> None:
    costs = {row["method"]: row for row in rows(finished[0], "cost.csv")}
    assert {costs[method]["trained_steps"] for method in METHODS} in ({"2"}, {"2.0"})
    assert costs["zero-shot"]["trained_steps"] == ""
    assert "probe_accuracy" in costs["adversarial"]["diagnostics"]
    assert not [column for column in rows(finished[0])[0] if "second" in column]


def test_values_are_the_means_of_the_stored_runs(finished: tuple[Path, Outcome]) -> None:
    """Success@1 by hand: the share of queries whose first document is the relevant one."""
    from bench import conlang

    folder, _ = finished
    cards_options = {"scale": 0.05, "test_queries": 20, "test_passages": 1200, "dev_queries": 10, "dev_passages": 400}
    qrels = conlang.test("qaa", conlang.ConlangOptions(**cards_options)).qrels
    values = {row["cell"]: float(row["value"]) for row in rows(folder) if row["measure"] == "Success@1"}
    assert len(values) == 6
    for cell, value in values.items():
        (run_file,) = (folder / "cells").glob(f"*-{cell}/run.trec.gz")
        run = read_run(run_file)
        assert value == pytest.approx(sum(qrels[query].get(run[query][0][0], 0) for query in qrels) / 20)


def test_oracle_reads_the_translated_queries(finished: tuple[Path, Outcome]) -> None:
    """Same encoder and documents as zero-shot, other queries, hence another run."""
    runs = {path.parent.name.split(".")[0]: read_run(path) for path in finished[0].glob("cells/*/run.trec.gz")}
    assert runs["oracle"] != runs["zero-shot"]
    assert runs["untrained"] != runs["zero-shot"]


def test_trainings_keep_their_log_and_retriever(finished: tuple[Path, Outcome]) -> None:
    for method in METHODS:
        (folder,) = (finished[0] / "trainings").glob(f"{method}.*")
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert [record["step"] for record in log] == [1, 2]
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["cost"]["trained_steps"] == 2
        assert (folder / "retriever" / "retriever.json").is_file()
        assert manifest["data_report"]["bitext"]["conlang"]["kept"] > 0


def test_second_identical_call_computes_nothing(
    finished: tuple[Path, Outcome], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr("bench.training.loop.train", lambda *arguments: pytest.fail("trains"))
    monkeypatch.setattr("bench.encoders.encoder.Encoder.encode", lambda *arguments, **more: pytest.fail("encodes"))
    outcome = bench.execute(folder)
    assert (outcome.computed, outcome.trained, outcome.reused, outcome.failed) == (0, 0, 6, 0)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_same_seed_is_the_same_leaderboard_and_another_is_not(
    finished: tuple[Path, Outcome], bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))  # so that nothing comes from the cache
    bench.execute(tmp_path / "same")
    for file in ("leaderboard.csv", "leaderboard-wide.csv"):
        assert (tmp_path / "same" / file).read_bytes() == (folder / file).read_bytes()
    bench.execute(tmp_path / "other", seeds=(1,))
    for method in METHODS:
        first, other = (
            next(read_run(path) for path in root.glob(f"cells/{method}.*/run.trec.gz"))
            for root in (folder, tmp_path / "other")
        )
        assert first != other, method


def test_new_seed_adds_to_what_is_there_and_shares_what_needs_no_seed(bench: Bench, tmp_path: Path) -> None:
    bench.execute(tmp_path, ["distillation"])
    outcome = bench.execute(tmp_path, ["distillation"], seeds=(0, 1))
    assert (outcome.trained, outcome.computed, outcome.reused) == (1, 2, 4)  # distillation and untrained of seed 1
    wide = {row["method"]: row["seeds"] for row in rows(tmp_path, "leaderboard-wide.csv")}
    assert wide == {"distillation": "2", "untrained": "2", "zero-shot": "1", "oracle": "1"}


def test_another_budget_is_another_training(bench: Bench, tmp_path: Path) -> None:
    bench.execute(tmp_path, ["distillation"])
    outcome = bench.execute(tmp_path, ["distillation"], budget=Budget(1, "steps"))
    assert (outcome.trained, outcome.computed, outcome.reused) == (1, 1, 3)
    assert {row["budget"] for row in rows(tmp_path) if row["method"] == "distillation"} == {"1steps", "2steps"}


def test_what_trained_on_leaks_is_marked_and_never_taken_for_clean(bench: Bench, tmp_path: Path) -> None:
    bench.execute(tmp_path, ["distillation"])
    outcome = bench.execute(tmp_path, ["distillation"], leakage="keep")  # there is none, yet it is another training
    assert (outcome.trained, outcome.computed, outcome.reused) == (1, 2, 2)
    marked = {(row["method"], row["config"]) for row in rows(tmp_path)}
    assert marked == {
        *((method, config) for method in ("distillation", "untrained") for config in ("", "leakage=keep")),
        *((method, "") for method in ("zero-shot", "oracle")),
    }
    plan = make_plan(bench.request(tmp_path, leakage="keep"), bench.cards, Resolver(offline=True))
    assert any(note.startswith("LEAKAGE IS KEPT") for note in plan.notes)


def test_each_resource_level_is_a_training_of_whatever_has_data(bench: Bench, tmp_path: Path) -> None:
    outcome = bench.execute(tmp_path, ["distillation"], bitext_size=(50, "all"), bitext_noise=(0, 0.5))
    assert (outcome.trained, outcome.computed, outcome.failed) == (4, 10, 0)
    found = rows(tmp_path, "leaderboard-wide.csv")
    assert {(row["method"], row["bitext_size"], row["bitext_noise"]) for row in found} == {
        *((method, *level) for method in ("distillation", "untrained") for level in LEVELS),
        *((method, "", "") for method in ("zero-shot", "oracle")),
    }
    trainings = {entry.folder.name: entry.manifest for entry in Store(tmp_path).finished("trainings")}
    assert len({str(row["spec"]["level"]) for row in trainings.values()}) == 4
    (small,) = (
        row for name, row in trainings.items() if name.startswith("distillation") and ".50pairs.noise0.5." in name
    )
    assert small["data_report"]["level"] == {"kept": {"conlang": 50}, "misaligned": 25}
    assert small["cost"]["bitext_pairs"] == 50
    # A call without levels finds what it needs.
    assert bench.execute(tmp_path, ["distillation"]).reused == 4


def test_one_student_of_two_languages_is_trained_once_and_serves_both(
    bench: Bench, tmp_path: Path, conlang_cards: Callable[..., dict[str, Card]]
) -> None:
    """Next to a student of each, by a combined method, and for the reference row that depends on the data."""
    two = Bench(conlang_cards("qaa-eng", "qab-eng"), bench.encoder)
    pairs = (Pair("qaa", "eng"), Pair("qab", "eng"))
    outcome = two.execute(tmp_path, ["optical+adversarial"], pairs=pairs, students=("pair", "joint"))
    assert (outcome.trained, outcome.computed, outcome.failed) == (3, 12, 0)
    cells = {(row["method"], row["students"], row["pair"]) for row in rows(tmp_path)}
    both = ("qaa-eng", "qab-eng")
    students = {"optical+adversarial": ("", "joint"), "untrained": ("", "joint"), "zero-shot": ("",), "oracle": ("",)}
    assert cells == {(method, kind, pair) for method, kinds in students.items() for kind in kinds for pair in both}
    (manifest,) = (
        entry.manifest
        for entry in Store(tmp_path).finished("trainings")
        if entry.spec.columns["pair"] == "qaa-eng + qab-eng" and entry.spec.method == "optical+adversarial"
    )
    assert set(manifest["data_report"]["bitext"]) == {"conlang", "conlang qab-eng"}
    assert [part["name"] for part in manifest["spec"]["methods"]] == ["optical", "adversarial"]
    assert "adversarial.probe_accuracy" in manifest["diagnostics"]


def test_more_bitext_than_there_is_is_all_and_trained_once(bench: Bench, finished: tuple[Path, Outcome]) -> None:
    folder, _ = finished
    manifest = json.loads(next((folder / "trainings").glob("optical.*/manifest.json")).read_text())
    available = manifest["cost"]["bitext_pairs"]
    sizes = (available, "all", 10**9)
    plan = make_plan(bench.request(folder, bitext_size=sizes), bench.cards, Resolver(offline=True))
    assert plan.notes == [f"bitext size {size:,} on qaa-eng is all: there are {available} pairs" for size in sizes[::2]]
    outcome = bench.execute(folder, bitext_size=sizes)
    assert (outcome.trained, outcome.computed, outcome.reused) == (0, 0, 6)


def test_measure_is_added_from_the_stored_run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.execute(tmp_path, ["distillation"], measures=("Success@1",))
    runs = {path: path.read_bytes() for path in tmp_path.glob("cells/*/run.trec.gz")}
    before = [row for row in rows(tmp_path) if row["measure"] == "Success@1"]
    monkeypatch.setattr("bench.encoders.encoder.Encoder.encode", lambda *arguments, **more: pytest.fail("encodes"))
    outcome = bench.execute(tmp_path, ["distillation"], measures=("Success@1", "R@1", "AP@100"))
    assert (outcome.computed, outcome.trained, outcome.reused) == (0, 0, 4)
    assert {path: path.read_bytes() for path in tmp_path.glob("cells/*/run.trec.gz")} == runs
    found = rows(tmp_path)
    assert {row["measure"] for row in found} == {"Success@1", "R@1", "AP@100"}
    assert [row for row in found if row["measure"] == "Success@1"] == before
    for row in before:  # every query has one relevant document, for which the two measures say the same
        (other,) = (r for r in found if r["measure"] == "R@1" and r["cell"] == row["cell"])
        assert other["value"] == row["value"]


def test_deep_measure_is_that_of_a_brute_force_search_and_the_stored_run_is_cut(bench: Bench, tmp_path: Path) -> None:
    card = bench.cards["conlang"]
    data = [entry.model_copy(update={"options": {**entry.options, "test_passages": 24_000}}) for entry in card.data]
    large = Bench({"conlang": card.model_copy(update={"data": tuple(data)})}, bench.encoder)
    large.execute(tmp_path, ["zero-shot"], measures=("AP@1000", "R@500"))
    test = load_test(large.cards["conlang"], Pair("qaa", "eng"), Resolver(offline=True))
    encoder = read_encoder(bench.encoder, "small")
    scores = encoder.encode(test.queries, "query") @ encoder.encode(test.documents, "document").T
    assert scores.shape == (20, len(test.documents)) and len(test.documents) > 1000
    run = {}
    for key, row in zip(test.query_ids, scores, strict=True):
        best = row.argsort()[::-1][:1000]
        run[key] = {test.document_ids[column]: float(row[column]) for column in best}
    expected = pytrec_eval.RelevanceEvaluator(dict(test.qrels), {"map", "recall.500"}).evaluate(run)
    found = {row["measure"]: float(row["value"]) for row in rows(tmp_path) if row["method"] == "zero-shot"}
    for measure, theirs in (("AP@1000", "map"), ("R@500", "recall_500")):
        assert found[measure] == pytest.approx(sum(values[theirs] for values in expected.values()) / 20, abs=1e-4)
    for path in tmp_path.glob("cells/*/run.trec.gz"):
        assert {len(ranking) for ranking in read_run(path).values()} == {100}


def test_finished_cell_is_evaluated_again_for_a_deep_measure_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.glob("cells/*/run.trec.gz")}

    bench.execute(tmp_path, ["distillation"], measures=("Success@1", "P@5"))
    before, scores = contents(), rows(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("bench.running.work.evaluate", lambda *arguments, **more: 1 / 0)
        outcome = bench.execute(tmp_path, ["distillation"], measures=("AP@1000",))
        assert (outcome.failed, outcome.cells) == (4, [])
    assert (contents(), rows(tmp_path)) == (before, scores)

    outcome = bench.execute(tmp_path, ["distillation"], measures=("Success@1", "AP@1000"))
    assert (outcome.trained, outcome.computed, outcome.reused, outcome.failed) == (0, 4, 0, 0)
    assert contents() == before
    assert [row for row in rows(tmp_path) if row["measure"] != "AP@1000"] == scores
    assert not list(tmp_path.glob("cells/*/embeddings"))

    bench.execute(tmp_path / "fresh", ["distillation"], measures=("AP@1000",))
    assert [row for row in rows(tmp_path) if row["measure"] == "AP@1000"] == rows(tmp_path / "fresh")

    monkeypatch.setattr("bench.running.work.evaluate", lambda *arguments, **more: pytest.fail("searches"))
    outcome = bench.execute(tmp_path, ["distillation"], measures=("AP@1000", "R@1"))
    assert (outcome.computed, outcome.reused) == (0, 4)


def test_damaged_scores_are_computed_again_the_deep_ones_from_a_deep_run(bench: Bench, tmp_path: Path) -> None:
    bench.execute(tmp_path, ["zero-shot"], measures=("Success@1", "AP@1000"))
    before = rows(tmp_path)
    for path in tmp_path.glob("cells/zero-shot.*/scores.csv.gz"):
        path.write_bytes(b"nonsense")
    outcome = bench.execute(tmp_path, ["zero-shot"], measures=("Success@1", "AP@1000"))
    assert (outcome.computed, outcome.reused) == (1, 2)
    assert rows(tmp_path) == before


def test_cell_is_computed_again_from_the_stored_retriever(bench: Bench, tmp_path: Path) -> None:
    """Deleting a cell loses nothing: the trained student is on disk, and its run is the same bytes."""
    bench.execute(tmp_path, ["adversarial"])
    (cell,) = (tmp_path / "cells").glob("adversarial.*")
    run, board = (cell / "run.trec.gz").read_bytes(), (tmp_path / "leaderboard.csv").read_bytes()
    (cell / "manifest.json").unlink()
    outcome = bench.execute(tmp_path, ["adversarial"])
    assert (outcome.trained, outcome.computed, outcome.reused) == (0, 1, 3)
    assert (cell / "run.trec.gz").read_bytes() == run
    assert (tmp_path / "leaderboard.csv").read_bytes() == board


@pytest.mark.parametrize(
    ("name", "reason"), [("Fails", "RuntimeError: as it must"), ("Diverges", "the loss is nan")], ids=["raises", "nan"]
)
def test_method_that_fails_is_recorded_and_the_others_finish(
    bench: Bench,
    tmp_path: Path,
    plugin: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    name: str,
    reason: str,
) -> None:
    results = tmp_path / "results"
    assert bench.run(results, [plugin(name), "distillation"]) == 1
    (training,) = (results / "trainings").glob(f"{name}.*")
    assert reason in (training / FAILURE).read_text()
    assert (training / FAILURE).read_text().startswith("Traceback")
    assert not (training / "manifest.json").exists()
    assert {row["method"] for row in rows(results)} == {"distillation", *REFERENCES}
    captured = capsys.readouterr()
    (line,) = (line for line in captured.err.splitlines() if f"FAILED {name}" in line)
    assert reason in line
    assert "Traceback" not in captured.err
    assert "distillation" in captured.out
    assert name not in captured.out


def test_failed_method_is_tried_again(bench: Bench, tmp_path: Path, plugin: Callable[[str], str]) -> None:
    results = tmp_path / "results"
    outcome = bench.execute(results, [plugin("Fails")])
    assert (outcome.computed, outcome.failed) == (3, 1)
    again = bench.execute(results, [plugin("Fails")])
    assert (again.computed, again.reused, again.failed) == (0, 3, 1)


def test_method_that_says_nan_at_evaluation_fails_alone(
    bench: Bench, tmp_path: Path, plugin: Callable[[str], str]
) -> None:
    """A student whose embeddings are no numbers must not be ranked."""
    path = tmp_path / "broken.py"
    path.write_text(
        "import torch\n"
        "from bench.api import DualEncoder, Method\n\n\n"
        "class Broken(Method):\n"
        "    def fit(self, task):\n"
        "        student = task.make_student()\n"
        "        with torch.no_grad():\n"
        "            student.word_embeddings.weight.fill_(float('nan'))\n"
        "        return DualEncoder(student, task.teacher)\n"
    )
    outcome = bench.execute(tmp_path / "results", [f"{path}:Broken"])
    assert (outcome.computed, outcome.failed, outcome.exit_code) == (3, 1, 1)
    (cell,) = (tmp_path / "results" / "cells").glob("Broken.*")
    assert "a query embedding is not a number" in (cell / FAILURE).read_text()
    assert "Broken" not in {row["method"] for row in rows(tmp_path / "results")}


def test_method_without_embeddings_is_evaluated_by_its_own_scoring(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "lexical.py").write_text(LEXICAL)
    results, methods = tmp_path / "results", [f"{tmp_path}/lexical.py:Lexical"]
    assert bench.execute(results, methods).failed == 0
    assert {(row["method"], row["scoring"]) for row in rows(results)} == {
        ("Lexical", "overlap"),
        *((name, "mean") for name in REFERENCES),
    }
    # A measure that looks deeper needs the retriever again, which is now read from its folder.
    again = bench.execute(results, methods, measures=("R@100", "R@200"))
    assert (again.trained, again.computed, again.failed) == (0, 4, 0)
    found = {row["measure"]: float(row["value"]) for row in rows(results) if row["method"] == "Lexical"}
    assert found["R@200"] >= found["R@100"]
    (training,) = (results / "trainings").glob("Lexical.*")
    method = registry.find_method(methods[0]).load()
    retriever = method.load(training / "retriever", read_encoder(bench.encoder, "small"))
    values = training_values(Record(training, read_manifest(training)), retriever)
    assert {name for _, name in values} == {"teacher.drift", "teacher.trainable"}  # and no word alignment


def test_one_student_is_scored_both_ways(bench: Bench, tmp_path: Path) -> None:
    outcome = bench.execute(tmp_path, ["distillation"], scoring=("mean", "maxsim"))
    assert (outcome.trained, outcome.computed, outcome.failed) == (1, 2 * 4, 0)
    found = {(row["method"], row["scoring"]): row["value"] for row in rows(tmp_path) if row["measure"] == "nDCG@10"}
    assert found.keys() == {(name, how) for name in ("distillation", *REFERENCES) for how in ("mean", "maxsim")}
    assert float(found["oracle", "maxsim"]) != float(found["oracle", "mean"])
    assert bench.execute(tmp_path, ["distillation"], scoring=("maxsim",)).reused == 4
    # Measures that look deeper find the same documents first.
    runs = {path: path.read_bytes() for path in tmp_path.glob("cells/*.maxsim-*/run.trec.gz")}
    deep = bench.execute(tmp_path, ["distillation"], scoring=("maxsim",), measures=("R@1000",))
    assert (deep.trained, deep.computed) == (0, 4)
    assert {path: path.read_bytes() for path in runs} == runs


def test_translated_queries_are_kept_with_the_run(bench: Bench, tmp_path: Path) -> None:
    outcome = bench.execute(tmp_path, ["methods/translate_test.py:TranslateTest"])
    cell = next(entry for entry in outcome.cells if entry.spec.method == "TranslateTest")
    with (cell.folder / "rewritten.tsv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    test = load_test(bench.cards["conlang"], Pair("qaa", "eng"), Resolver(offline=True))
    assert [tuple(row[:2]) for row in rows] == list(zip(test.query_ids, test.queries, strict=True))
    assert all(len(row) == 3 for row in rows)
    cost = cell.manifest["cost"]
    assert cost["rewrite_queries_seconds"] > 0
    assert cost["cpu_seconds"] > 0
    assert cost["index_mib"] > 0


def test_off_the_shelf_is_zero_shot_of_its_encoder(
    bench: Bench, build_encoder: Callable[..., Encoder], tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    build_encoder(seed=5).save(folder)
    method = f"methods/off_the_shelf.py:OffTheShelf:encoder={folder}"

    def scores(outcome: Outcome, name: str) -> Any:
        return next(entry.scores for entry in outcome.cells if entry.spec.method == name)

    first = bench.execute(tmp_path / "one", [method])
    other = replace(bench, encoder=folder).execute(tmp_path / "two", ["zero-shot"])
    assert scores(first, "OffTheShelf") == scores(other, "zero-shot") != scores(first, "zero-shot")
    assert {entry.spec.columns["config"] for entry in first.cells} == {"", f"encoder={folder}"}

    assert bench.execute(tmp_path / "one", [method]).computed == 0
    build_encoder(seed=6).save(folder)
    assert bench.execute(tmp_path / "one", [method]).computed == 1


def test_references_can_be_asked_for_alone(bench: Bench, tmp_path: Path) -> None:
    assert bench.execute(tmp_path, ["zero-shot"]).computed == 3


def test_classes_of_one_name_in_two_files_are_never_taken_for_one(bench: Bench, tmp_path: Path) -> None:
    names = []
    for i in (1, 2):
        (tmp_path / f"file{i}.py").write_text(PLUGIN)
        names.append(f"{tmp_path}/file{i}.py:Fails")
    try:
        plan = make_plan(bench.request(tmp_path, names), bench.cards, Resolver(offline=True))
    except BenchError:
        return  # refusing them is as good as running both
    assert sum(training.budget is not None for training in plan.cells) == 2


def test_dry_run_writes_nothing(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dry_run(bench.request(tmp_path / "results"), bench.cards) == 0
    assert not (tmp_path / "results").exists()
    out = capsys.readouterr().out
    assert all(method in out for method in (*METHODS, *REFERENCES))
    assert "6 retrievers, 6 cells" in out


def test_what_another_process_works_on_is_left_to_it_and_waited_for(
    bench: Bench, finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    names = [folder.name for folder in (finished[0] / "trainings").iterdir()]
    taken = next(name for name in names if name.startswith("adversarial."))
    store = Store(tmp_path).open()
    lock = FileLock(tmp_path / "locks" / f"{taken}.lock")
    with ThreadPoolExecutor() as pool:
        with lock:
            outcome = pool.submit(bench.execute, tmp_path)
            patience = time.monotonic() + 60
            while len(list(store.finished("trainings"))) < len(names) - 1 and not outcome.done():
                assert time.monotonic() < patience
                time.sleep(0.05)
            assert taken not in {entry.folder.name for entry in store.finished("trainings")}
            assert not outcome.done()
        assert outcome.result().failed == 0
    assert (tmp_path / "leaderboard.csv").read_bytes() == (finished[0] / "leaderboard.csv").read_bytes()


def test_interrupted_training_goes_on_from_its_checkpoint(
    bench: Bench, finished: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed once at the second step of each training, with a checkpoint after every step."""
    monkeypatch.setattr("bench.training.checkpoint.Checkpoint.due", True)
    killed: set[str] = set()
    write = Checkpoint.save

    def dies_once(self: Checkpoint, *arguments: Any) -> None:
        write(self, *arguments)
        if self.path.parent.name not in killed:
            killed.add(self.path.parent.name)
            raise KeyboardInterrupt

    monkeypatch.setattr("bench.training.checkpoint.Checkpoint.save", dies_once)
    for _ in METHODS:
        with pytest.raises(KeyboardInterrupt):
            bench.execute(tmp_path)
    assert bench.execute(tmp_path).failed == 0
    assert (tmp_path / "leaderboard.csv").read_bytes() == (finished[0] / "leaderboard.csv").read_bytes()
    for name in killed:
        folder = tmp_path / "trainings" / name
        steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
        assert steps == [1, 2]
        assert not (folder / "checkpoint.safetensors").exists()
