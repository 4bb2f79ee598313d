"""Whole comparisons with a small encoder on a small generated collection: what a user does with `bench run`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from conftest import Cli, english_sentences, make_encoder
from small_bench import METHODS, REFERENCES, SIZES, Bench, contents, entry, rows, steps_of

from bench import registry
from bench.commands.run import run
from bench.data import Pair, TestCollection, conlang
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.encoders.folders import read_encoder, save_encoder
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.run_files import read_run
from bench.gate.compute import training_values
from bench.recipe import Budget
from bench.results.store import LOG, RETRIEVER, REWRITTEN, RUN, Record
from bench.running.execute import Outcome
from bench.running.experiment import make_experiment
from bench.storage.sealed import read_manifest

SUBSETS = [("", ""), ("", "0.5"), ("50", ""), ("50", "0.5")]
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


def counts(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.computed, outcome.reused, outcome.failed


def never(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Fail the test if one of these functions is called."""
    for name in names:
        patch.setattr(name, lambda *arguments, name=name, **more: pytest.fail(f"calls {name}"))


def test_every_method_and_reference_has_rows_and_stored_files(finished: tuple[Path, Outcome], bench: Bench) -> None:
    """The values are the means of the stored runs: Success@1 is the share of queries with a relevant first document."""
    folder, outcome = finished
    assert counts(outcome) == (6, 0, 0)
    found = rows(folder)
    cells = sorted((method, measure) for method in (*METHODS, *REFERENCES) for measure in measures.DEFAULT)
    assert sorted((row["method"], row["measure"]) for row in found) == cells
    about = {tuple(row[name] for name in ("dataset", "pair", "scoring", "queries", "encoder")) for row in found}
    assert about == {("conlang", "qaa-eng", "single-vector", "20", str(bench.encoder))}
    told = {row["method"]: tuple(row[name] for name in ("budget", "seed", "train", "supervision")) for row in found}
    assert told["optical"] == ("2steps", "0", "conlang", "bitext")
    assert told["zero-shot"] == ("", "", "", "")
    assert told["untrained"] == ("", "0", "conlang", "bitext (start)")
    costs = {row["method"]: row for row in rows(folder, "cost.csv")}
    assert {float(costs[method]["trained_steps"]) for method in METHODS} == {2}
    assert costs["zero-shot"]["trained_steps"] == ""
    read, available = (float(costs["optical"][name]) for name in ("trained_examples", "training_bitext_pairs"))
    assert read == 2 * 64
    assert float(costs["optical"]["training_epochs"]) == pytest.approx(read / available, abs=5e-4)
    assert costs["distillation"]["training_epochs"] == costs["optical"]["training_epochs"]
    assert costs["adversarial"]["training_epochs"] == costs["zero-shot"]["training_epochs"] == ""
    assert "probe_accuracy" in costs["adversarial"]["diagnostics"]

    qrels = conlang.test("qaa", conlang.ConlangOptions(**SIZES)).qrels
    runs = {name: read_run(entry(folder, "cells", name) / RUN) for name in (*METHODS, *REFERENCES)}
    for row in found:
        assert 0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1
        if row["measure"] == "Success@1":
            first = [qrels[query].get(ranking[0][0], 0) for query, ranking in runs[row["method"]].items()]
            assert float(row["value"]) == pytest.approx(sum(first) / 20)
    assert runs["oracle"] != runs["zero-shot"] != runs["untrained"]  # other queries, another encoder
    for method in METHODS:
        training = entry(folder, "trainings", method)
        assert steps_of(training / LOG) == [1, 2]
        assert read_manifest(training)["data_report"]["bitext"]["conlang"]["kept"] > 0
        assert (training / RETRIEVER / "retriever.json").is_file()


def test_second_identical_call_and_a_dry_run_compute_nothing(
    finished: tuple[Path, Outcome], bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    before = contents(finished[0])
    never(monkeypatch, "bench.training.loop.train", "bench.encoders.encoder.Encoder.encode")
    assert counts(bench.execute(finished[0])) == (0, 6, 0)
    assert run(bench.request(finished[0], [*METHODS, "psq"], dry_run=True), bench.cards) == 0
    assert "7 retrievers, 7 cells, 6 of them finished" in capsys.readouterr().out
    assert contents(finished[0]) == before
    assert run(bench.request(tmp_path / "results", dry_run=True), bench.cards) == 0  # which writes nothing
    assert not (tmp_path / "results").exists()
    out = capsys.readouterr().out
    assert all(method in out for method in (*METHODS, *REFERENCES))
    assert out.count("missing") == 6
    assert "6 retrievers, 6 cells, 0 of them finished" in out


def test_same_seed_is_the_same_leaderboard_and_another_is_not(
    finished: tuple[Path, Outcome], bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))  # so that nothing comes from the cache
    bench.execute(tmp_path / "same")
    for file in ("leaderboard.csv", "leaderboard-wide.csv"):
        assert (tmp_path / "same" / file).read_bytes() == (finished[0] / file).read_bytes()
    bench.execute(tmp_path / "other", seeds=(1,))
    for method in METHODS:
        first, other = (read_run(entry(root, "cells", method) / RUN) for root in (finished[0], tmp_path / "other"))
        assert first != other, method


@pytest.mark.parametrize(
    ("changes", "expected", "column", "texts"),
    [
        ({"seeds": (0, 1)}, (2, 4), "seed", {"0", "1"}),  # the method and `untrained` with another seed
        ({"budget": Budget(1, "steps")}, (1, 3), "budget", {"1steps", "2steps"}),
        ({"leakage": "keep"}, (2, 2), "config", {"", "leakage=keep"}),  # there is none, yet it is another training
    ],
    ids=["seed", "budget", "leakage"],
)
def test_what_changes_a_training_is_another_one_and_the_rest_is_shared(
    bench: Bench, tmp_path: Path, changes: dict[str, Any], expected: tuple[int, ...], column: str, texts: set[str]
) -> None:
    bench.execute(tmp_path, ["distillation"])
    assert counts(bench.execute(tmp_path, ["distillation"], **changes)) == (*expected, 0)
    assert {row[column] for row in rows(tmp_path) if row["method"] == "distillation"} == texts
    if "leakage" in changes:
        assert {row["config"] for row in rows(tmp_path) if row["method"] in ("zero-shot", "oracle")} == {""}
        experiment = make_experiment(bench.request(tmp_path, **changes), bench.cards, Resolver(offline=True))
        assert any(note.startswith("LEAKAGE IS KEPT") for note in experiment.notes)


def test_each_resource_subset_is_a_training_of_whatever_has_data(bench: Bench, tmp_path: Path) -> None:
    outcome = bench.execute(tmp_path, ["distillation"], bitext_size=(50, "all"), bitext_noise=(0, 0.5))
    assert counts(outcome) == (10, 0, 0)
    found = rows(tmp_path, "leaderboard-wide.csv")
    assert {(row["method"], row["bitext_size"], row["bitext_noise"]) for row in found} == {
        *((method, *subset) for method in ("distillation", "untrained") for subset in SUBSETS),
        *((method, "", "") for method in ("zero-shot", "oracle")),
    }
    small = read_manifest(entry(tmp_path, "trainings", "distillation.*.50pairs.noise0.5"))
    assert small["data_report"]["subset"] == {"kept": {"conlang": 50}, "misaligned": 25}
    assert small["cost"]["bitext_pairs"] == 50
    # A call without subsets finds what it needs.
    assert bench.execute(tmp_path, ["distillation"]).reused == 4


def test_one_student_of_two_languages_is_trained_once_and_serves_both(
    bench: Bench, tmp_path: Path, conlang_cards: Callable[..., dict[str, Card]]
) -> None:
    """Next to a student of each, by a combined method, and for the reference row that depends on the data."""
    two = Bench(conlang_cards("qaa-eng", "qab-eng"), bench.encoder)
    pairs = (Pair("qaa", "eng"), Pair("qab", "eng"))
    outcome = two.execute(tmp_path, ["optical+adversarial"], pairs=pairs, students=("bilingual", "multilingual"))
    assert counts(outcome) == (12, 0, 0)
    students = dict.fromkeys(("optical+adversarial", "untrained"), ("", "multilingual"))
    students |= dict.fromkeys(("zero-shot", "oracle"), ("",))
    assert {(row["method"], row["students"], row["pair"]) for row in rows(tmp_path)} == {
        (method, kind, str(pair)) for method, kinds in students.items() for kind in kinds for pair in pairs
    }
    manifest = read_manifest(entry(tmp_path, "trainings", "optical+adversarial.2languages-eng"))
    assert set(manifest["data_report"]["bitext"]) == {"conlang", "conlang qab-eng"}
    assert [part["name"] for part in manifest["spec"]["methods"]] == ["optical", "adversarial"]
    assert "adversarial.probe_accuracy" in manifest["diagnostics"]
    sizes = {"qaa-eng": "conlang", "qab-eng": "conlang qab-eng"}
    epochs, kept = manifest["cost"]["epochs"], manifest["data_report"]["bitext"]
    read = sum(share * kept[sizes[pair]]["kept"] for pair, share in epochs.items())
    assert read == pytest.approx(2 * 64, abs=0.5)  # adversarial reads no pairs


def test_a_student_is_tested_on_a_language_that_it_was_not_trained_on(
    bench: Bench, tmp_path: Path, conlang_cards: Callable[..., dict[str, Card]]
) -> None:
    """Only a method that reads data depends on the languages of the training."""
    two, pairs = Bench(conlang_cards("qaa-eng", "qab-eng"), bench.encoder), (Pair("qaa", "eng"), Pair("qab", "eng"))
    assert two.execute(tmp_path, ["optical", "psq"], pairs=pairs, train_pairs=pairs[:1]).failed == 0
    found = {(row["method"], row["pair"]): row["students"] for row in rows(tmp_path)}
    read_data = {(method, "qab-eng"): "qaa-eng" for method in ("optical", "psq", "untrained")}
    assert found == dict.fromkeys(found, "") | read_data
    other = read_manifest(entry(tmp_path, "trainings", "optical.qab-eng.small.qaa-eng"))
    usual = read_manifest(entry(tmp_path, "trainings", "optical.qaa-eng"))
    assert set(other["data_report"]["bitext"]) == {"conlang"} == set(usual["data_report"]["bitext"])
    assert set(other["data_report"]["leakage"]) == {"conlang", "conlang qab-eng"}
    assert set(usual["data_report"]["leakage"]) == {"conlang"}


def test_documents_are_encoded_once_for_all_pairs_of_a_student(
    bench: Bench, tmp_path: Path, conlang_cards: Callable[..., dict[str, Card]]
) -> None:
    two, pairs = Bench(conlang_cards("qaa-eng", "qab-eng"), bench.encoder), (Pair("qaa", "eng"), Pair("qab", "eng"))
    outcome = two.execute(tmp_path, ["adversarial"], pairs=pairs, students=("multilingual",), budget=Budget(1, "steps"))
    served = [cell for cell in outcome.cells if cell.spec.method == "adversarial"]
    assert [cell.manifest["documents_cached"] for cell in served] == [False, True]
    assert not list(tmp_path.glob("*/*/embeddings"))


def test_memory_is_released_before_each_training(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[bool] = []
    monkeypatch.setattr("bench.running.work.release_memory", lambda: released.append(True))
    assert bench.execute(tmp_path, ["psq"]).computed == len(released) == 4


def test_more_bitext_than_there_is_is_all_and_trained_once(bench: Bench, finished: tuple[Path, Outcome]) -> None:
    available = read_manifest(entry(finished[0], "trainings", "optical"))["cost"]["bitext_pairs"]
    sizes = (available, "all", 10**9)
    experiment = make_experiment(bench.request(finished[0], bitext_size=sizes), bench.cards, Resolver(offline=True))
    assert experiment.notes == [f"bitext size {size:,} on qaa-eng means all {available} pairs" for size in sizes[::2]]
    assert counts(bench.execute(finished[0], bitext_size=sizes)) == (0, 6, 0)


def test_measure_is_added_from_the_stored_run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.execute(tmp_path, ["distillation"], measures=("Success@1",))
    runs, before = contents(tmp_path, RUN), rows(tmp_path)
    never(monkeypatch, "bench.evaluation.evaluate.evaluate", "bench.training.loop.train")
    outcome = bench.execute(tmp_path, ["distillation"], measures=("Success@1", "R@1", "AP@100"))
    assert counts(outcome) == (4, 0, 0)
    assert contents(tmp_path, RUN) == runs
    found = rows(tmp_path)
    assert {row["measure"] for row in found} == {"Success@1", "R@1", "AP@100"}
    assert [row for row in found if row["measure"] == "Success@1"] == before
    # Every query has one relevant document, for which the two measures are equal.
    values = {name: [row["value"] for row in found if row["measure"] == name] for name in ("R@1", "Success@1")}
    assert values["R@1"] == values["Success@1"]


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
    for path in contents(tmp_path, RUN):
        assert {len(ranking) for ranking in read_run(path).values()} == {100}


def test_finished_cell_is_evaluated_again_for_a_deep_measure_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.execute(tmp_path, ["distillation"], measures=("Success@1", "P@5"))
    before, scores = contents(tmp_path, RUN), rows(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("bench.evaluation.evaluate.evaluate", lambda *arguments, **more: 1 / 0)
        outcome = bench.execute(tmp_path, ["distillation"], measures=("AP@1000",))
        assert (outcome.failed, outcome.cells) == (4, [])
    assert (contents(tmp_path, RUN), rows(tmp_path)) == (before, scores)

    deep = {"measures": ("Success@1", "AP@1000")}
    assert counts(bench.execute(tmp_path, ["distillation"], **deep)) == (4, 0, 0)
    assert contents(tmp_path, RUN) == before
    assert [row for row in rows(tmp_path) if row["measure"] != "AP@1000"] == scores
    assert not list(tmp_path.glob("*/*/embeddings"))
    bench.execute(tmp_path / "fresh", ["distillation"], measures=("AP@1000",))
    assert [row for row in rows(tmp_path) if row["measure"] == "AP@1000"] == rows(tmp_path / "fresh")


def test_method_without_embeddings_is_evaluated_by_its_own_scoring(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "lexical.py").write_text(LEXICAL)
    results, methods = tmp_path / "results", [f"{tmp_path}/lexical.py:Lexical"]
    assert bench.execute(results, methods).failed == 0
    assert {(row["method"], row["scoring"]) for row in rows(results)} == {
        ("lexical", "overlap"),
        *((name, "single-vector") for name in REFERENCES),
    }
    # A measure that looks deeper needs the retriever again, which is now read from its folder.
    assert counts(bench.execute(results, methods, measures=("R@100", "R@200"))) == (4, 0, 0)
    found = {row["measure"]: float(row["value"]) for row in rows(results) if row["method"] == "lexical"}
    assert found["R@200"] >= found["R@100"]
    training = entry(results, "trainings", "lexical")
    retriever = registry.find_method(methods[0]).load().load(training / RETRIEVER, read_encoder(bench.encoder, "small"))
    values = training_values(Record(training, read_manifest(training)), retriever)
    assert {name for _, name in values} == {"teacher.drift", "teacher.trainable"}  # and no word alignment


def test_precision_is_that_of_encoders_and_part_of_what_their_cells_depend_on(bench: Bench, tmp_path: Path) -> None:
    scorings = {"methods": ["psq"], "scoring": ("single-vector", "maxsim")}
    exact, half = (
        bench.execute(tmp_path / precision, **scorings, precision=precision).cells
        for precision in ("float32", "bfloat16")
    )
    for one, other in zip(exact, half, strict=True):
        lexical = one.spec.scoring == "bm25"
        assert (one.inputs.get("precision"), other.inputs.get("precision")) == (None, None if lexical else "bfloat16")
        assert (read_run(one.run) == read_run(other.run)) == lexical
        assert one.means == pytest.approx(other.means, abs=0.05)


def test_one_student_is_scored_both_ways(bench: Bench, tmp_path: Path) -> None:
    assert counts(bench.execute(tmp_path, ["distillation"], scoring=("single-vector", "maxsim"))) == (2 * 4, 0, 0)
    found = {(row["method"], row["scoring"]): row["value"] for row in rows(tmp_path) if row["measure"] == "nDCG@10"}
    assert found.keys() == {
        (name, how) for name in ("distillation", *REFERENCES) for how in ("single-vector", "maxsim")
    }
    assert float(found["oracle", "maxsim"]) != float(found["oracle", "single-vector"])
    assert bench.execute(tmp_path, ["distillation"], scoring=("maxsim",)).reused == 4
    # Measures that look deeper find the same documents first.
    runs = contents(tmp_path, RUN)
    deep = bench.execute(tmp_path, ["distillation"], scoring=("maxsim",), measures=("R@1000",))
    assert counts(deep) == (4, 0, 0)
    assert contents(tmp_path, RUN) == runs


def test_an_index_is_a_system_of_its_own_and_reports_its_recall(bench: Bench, tmp_path: Path) -> None:
    index = "IVF8,Flat:nprobe=2"
    assert counts(bench.execute(tmp_path, ["psq", "distillation"])) == (5, 0, 0)
    outcome = bench.execute(tmp_path, ["psq", "distillation"], index=index)
    assert counts(outcome) == (4, 1, 0)  # psq has no vectors
    assert len(list((tmp_path / "trainings").glob("distillation.*"))) == 1
    found = {(row["method"], row["scoring"]) for row in rows(tmp_path)}
    both = {
        (name, how) for name in ("distillation", *REFERENCES) for how in ("single-vector", f"single-vector {index}")
    }
    assert found == {("psq", "bm25"), *both}
    for cell in outcome.cells:
        if cell.spec.method != "psq":
            assert 0 < cell.manifest["index"]["recall@100"] < 1
            assert cell.manifest["index"]["queries"] == 20
    assert (tmp_path / "leaderboard.md").read_text().count("recall@100 of the index against exact search: 0.") == 4


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("PQ48", "should be a multiple of the number of subquantizers"),
        ("IVF5000,Flat", "5,000 clusters for 60 documents"),
    ],
)
def test_index_that_does_not_fit_is_refused_before_a_training(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], index: str, reason: str
) -> None:
    outcome = bench.execute(tmp_path, ["distillation", "psq"], index=index)
    assert outcome.exit_code == 2 and outcome.computed == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "FAILED distillation" in line)
    assert f"index '{index}'" in line and reason in line
    assert not list((tmp_path / "trainings").glob("distillation.*/manifest.json"))


def test_translated_queries_are_kept_with_the_run(bench: Bench, tmp_path: Path, small_test: TestCollection) -> None:
    outcome = bench.execute(tmp_path, ["translate-test"])
    cell = next(cell for cell in outcome.cells if cell.spec.method == "translate-test")
    lines = [line.split("\t") for line in (cell.folder / REWRITTEN).read_text(encoding="utf-8").splitlines()]
    assert [tuple(line[:2]) for line in lines] == list(zip(small_test.query_ids, small_test.queries, strict=True))
    assert all(len(line) == 3 for line in lines)
    assert "rewrite_queries_seconds" in cell.manifest["cost"]
    assert all(cell.manifest["cost"][name] > 0 for name in ("cpu_seconds", "index_mib"))


def test_off_the_shelf_is_zero_shot_of_its_encoder(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    save_encoder(make_encoder(seed=5), folder)
    method = f"off-the-shelf:encoder={folder}"

    def scores(outcome: Outcome, name: str) -> Any:
        return next(cell.scores for cell in outcome.cells if cell.spec.method == name)

    first = bench.execute(tmp_path / "one", [method])
    other = replace(bench, encoder=folder).execute(tmp_path / "two", ["zero-shot"])
    assert scores(first, "off-the-shelf") == scores(other, "zero-shot") != scores(first, "zero-shot")
    assert {cell.spec.columns["config"] for cell in first.cells} == {"", f"encoder={folder}"}

    assert bench.execute(tmp_path / "one", [method]).computed == 0
    save_encoder(make_encoder(seed=6), folder)
    assert bench.execute(tmp_path / "one", [method]).computed == 1


def test_classes_of_one_name_in_two_files_are_never_taken_for_one(bench: Bench, tmp_path: Path) -> None:
    files = [tmp_path / f"file{number}.py" for number in (1, 2)]
    for file in files:
        file.write_text(LEXICAL)
    with pytest.raises(BenchError, match="two methods are called 'lexical'; rename one"):
        make_experiment(
            bench.request(tmp_path, [f"{file}:Lexical" for file in files]), bench.cards, Resolver(offline=True)
        )


TEXTS = english_sentences()[:20]


def change_judgments(folder: Path, state: int) -> None:
    (folder / "beir" / "qrels").mkdir(parents=True, exist_ok=True)
    rows = [f"q{i}\td{(i + 3 * state) % 20}\t1\n" for i in range(20)]
    (folder / "beir" / "qrels" / "test.tsv").write_text("".join(rows))


def change_corpus(folder: Path, state: int) -> None:
    for name, key, column in (("queries", "q", TEXTS), ("corpus", "d", TEXTS[::-1] if state else TEXTS)):
        rows = [json.dumps({"_id": f"{key}{i}", "text": text}) for i, text in enumerate(column)]
        (folder / "beir" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")


def change_encoder(folder: Path, state: int) -> None:
    save_encoder(make_encoder(seed=state), folder / "encoder")


@pytest.mark.parametrize("change", [change_judgments, change_corpus, change_encoder])
def test_back_in_an_earlier_state_its_results_are_shown_again(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, int], None]
) -> None:
    monkeypatch.setattr("bench.results.provenance.package_commit", dict)  # asking git takes longer than all the rest
    what = "encoder" if change is change_encoder else "test collection beir qaz-eng"
    for each in (change_judgments, change_corpus, change_encoder):
        each(tmp_path, 0)
    inputs = ["--datasets", str(tmp_path / "beir"), "--pairs", "qaz-eng", "--encoder", str(tmp_path / "encoder")]
    results, boards = tmp_path / "results", []
    for state in (0, 1, 0):
        change(tmp_path, state)
        said = cli("run", "--methods", "zero-shot", *inputs, "--threads", "1", "--quiet", "--results", results)
        boards.append((results / "leaderboard.csv").read_bytes())
    assert boards[0] == boards[2] != boards[1]
    assert said.line(f"left out: 1 cell with another {what}")
    cli("leaderboard", "--results", results)
    assert (results / "leaderboard.csv").read_bytes() == boards[0]
    assert len(list(results.glob("cells/*"))) == 2  # nothing was computed a third time
