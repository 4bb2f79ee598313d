"""`bench inspect query`: what is shown is what is in the run, and plans of saved students are those of fitted ones."""

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from cells import reseal
from conftest import Cli
from small_bench import Bench

from bench.data import TestCollection, TrainingData
from bench.evaluation.run_files import read_run
from bench.inspection.plans import print_plan, split_words, word_plan
from bench.results.external import import_run
from bench.results.store import Store
from bench.running.method_specs import load_retriever, make_method, resolve_method
from bench.storage.sealed import read_manifest
from bench.training.method import Task

QUERY = "q03"


@pytest.fixture(scope="module")
def results(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert bench.execute(folder, ["optical", "distillation"]).failed == 0
    return folder


@pytest.fixture
def inspect(bench: Bench, results: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    """The command with the small collection's card."""
    monkeypatch.setattr("bench.running.reproduction.load_cards", lambda folder: bench.cards)
    return lambda *arguments, folder=results, code=0: cli(
        "inspect", "query", *arguments, "--results", folder, code=code
    )


def test_ranks_scores_and_texts_are_those_of_run_and_collection(
    inspect: Cli, results: Path, small_test: TestCollection
) -> None:
    out = inspect(QUERY, "--limit", "2", "--measure", "RR@10").out
    row = small_test.query_ids.index(QUERY)
    assert f"query        {small_test.queries[row]}\n" in out
    assert f"translation  {small_test.oracle_queries[row]}\n" in out
    (relevant,) = small_test.qrels[QUERY]
    texts = dict(zip(small_test.document_ids, small_test.documents, strict=True))
    lines = [line.split() for line in out.splitlines()]
    for method in ("optical", "distillation", "zero-shot", "untrained", "oracle"):
        (path,) = results.glob(f"cells/{method}.*/run.trec.gz")
        found = read_run(path)[QUERY]
        ids = [document for document, _ in found]
        rank = ids.index(relevant) + 1 if relevant in ids else None
        reciprocal = 1 / rank if rank and rank <= 10 else 0.0
        where = [str(rank)] if rank else f"not in the first {len(found)}".split()
        assert [method, f"{reciprocal:.3f}", *where] in lines
        part = out[out.index(f"\n{method} ") :]
        for number, (document, score) in enumerate(found[:2], start=1):
            judged = ["1"] if document == relevant else []
            expected = [str(number), f"{score:.4f}", document, *judged, *texts[document].split()[:4]]
            assert any(line.split()[: len(expected)] == expected for line in part.splitlines())


def test_a_document_is_chosen_to_be_aligned(inspect: Cli, small_test: TestCollection) -> None:
    (relevant,) = small_test.qrels[QUERY]
    out = inspect(QUERY, "--methods", "optical", "--document", relevant).out
    plan = out[out.index(f"mass moved between words: optical, {relevant}") :].splitlines()
    assert plan[1].split() == small_test.queries[small_test.query_ids.index(QUERY)].split()
    document = small_test.documents[list(small_test.document_ids).index(relevant)].split()
    assert [line.split()[0] for line in plan[3 : 3 + len(document)]] == document
    assert any("█" in line for line in plan)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["q3"], "'q3'; did you mean q"),
        ([QUERY, "--document", "d9999999"], "d9999999"),
        ([QUERY, "--methods", "optcal"], "unknown method in"),
        ([QUERY, "--dataset", "tatoeba"], "unknown dataset in"),
        ([QUERY, "--pair", "swh-eng"], "unknown pair in"),
        ([QUERY, "--measure", "nDCG@11"], "unknown measure 'nDCG@11'; did you mean nDCG@10?"),
    ],
)
def test_mistake_is_answered_in_one_line(inspect: Cli, arguments: list[str], complaint: str) -> None:
    (line,) = inspect(*arguments, code=2).lines
    assert complaint in line


def test_query_of_several_collections_must_be_told_apart(results: Path, inspect: Cli, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "both")
    folder = next((tmp_path / "both" / "cells").glob("oracle.*"))
    reseal(folder, spec={**read_manifest(folder)["spec"], "pair": "qab-eng"})
    said = inspect(QUERY, folder=tmp_path / "both", code=2)
    assert said.line(f"query '{QUERY}' is in conlang qaa-eng, conlang qab-eng; choose one")
    inspect(QUERY, "--pair", "qaa-eng", "--methods", "zero-shot", folder=tmp_path / "both")


def test_without_the_collection_ids_are_shown(results: Path, inspect: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.running.reproduction.load_cards", lambda folder: {})
    said = inspect(QUERY, "--methods", "optical")
    (line,) = said.lines
    assert "its texts cannot be shown: unknown collection 'conlang'" in line
    (path,) = results.glob("cells/optical.*/run.trec.gz")
    assert all(document in said.out for document, _ in read_run(path)[QUERY][:5])


def test_plan_needs_the_student(inspect: Cli, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results / "cells", tmp_path / "cells")
    assert inspect(QUERY, "--methods", "optical", folder=tmp_path).line("is missing or damaged")


@pytest.mark.parametrize("settings", ["solver=exact", "marginals=norm", "marginals=idf"])
def test_plan_of_a_saved_student_is_that_of_the_fitted_method(
    settings: str, make_task: Callable[..., Task], data: TrainingData, tmp_path: Path
) -> None:
    task = make_task(steps=3)
    row = resolve_method(f"optical:{settings}", {})
    method = make_method(row.methods)
    method.fit(task).save(tmp_path / "retriever", task.teacher)
    query, document = data.bitext.query_side[7].split(), data.bitext.document_side[7].split()
    read_data = Mock(return_value=data)
    saved = load_retriever(row.methods, tmp_path / "retriever", task.teacher)
    plan = word_plan(row.methods[0], saved, task.teacher, task.recipe, query, document, read_data)
    np.testing.assert_allclose(plan, method.align(document, query), atol=1e-6)
    assert plan.sum() == pytest.approx(1, abs=1e-3)
    assert read_data.called == (settings == "marginals=idf")


def test_words_of_scripts_without_spaces() -> None:
    assert split_words("habari  ya\nasubuhi.") == ["habari", "ya", "asubuhi."]
    assert split_words("我爱 Python 3") == ["我", "爱", "Python", "3"]
    assert split_words("ที่") == ["ที่"]  # a letter with its two marks


def test_shades_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    mass = np.array([[0.4, 0.0, 0.1], [0.05, 0.2, 0.3]])
    print_plan("t", ["ab", "c", "我"], ["one", "three"], mass)
    title, heads, _, *rows, key = (line.split() for line in capsys.readouterr().out.splitlines() if line.strip())
    assert (title, heads, rows) == (["t"], ["ab", "c", "我"], [["one", "███", "░░░"], ["three", "▒▒▒", "▓▓▓"]])
    assert " ".join(key) == "share of the mass: ░ 0.100 ▒ 0.200 ▓ 0.300 █ 0.400"
    print_plan("t", ["ab", "c", "我"], ["one", "three"], mass * 0)
    assert "nothing is moved" in capsys.readouterr().out
    print_plan("t", ["x"], [f"w{i}" for i in range(100)], np.arange(1.0, 101.0)[:, None] / 5050)
    lines = capsys.readouterr().out.split("\n")
    assert [line.split()[0] for line in lines if line.startswith("w")] == [f"w{i}" for i in range(70, 100)]
    assert "70 words of the document have less" in lines[-3]


def test_an_imported_run_is_one_among_others_and_cannot_be_made_again(
    bench: Bench, inspect: Cli, results: Path, small_test: TestCollection, tmp_path: Path, cli: Cli
) -> None:
    shutil.copytree(results, tmp_path / "results")
    (oracle,) = results.glob("cells/oracle.*/run.trec.gz")
    cell = import_run(Store(tmp_path / "results"), oracle, "elsewhere", str(bench.encoder), small_test, ["RR@10"])
    said = inspect(QUERY, "--measure", "RR@10", folder=tmp_path / "results")
    rows = [line.split() for line in said.out.splitlines()]
    (here,), (there,) = ([row[1:] for row in rows if row[:1] == [name] and row[1:]] for name in ("oracle", "elsewhere"))
    assert here == there
    assert f"file: {oracle.name}" in cli("inspect", "cell", cell.folder).out
    for arguments in (("inspect", "cell", cell.folder, "--ir-metadata"), ("reproduce", cell.folder)):
        assert cli(*arguments, code=2).line("was imported, so its manifest has no settings")
