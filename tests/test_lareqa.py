"""Pools of several languages: one student per language is evaluated on all its pairs; language bias by hand."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cells import add
from small_bench import rows
from test_formats import LAREQA
from world import World

from bench.commands.run import run
from bench.data import Pair, TestCollection
from bench.data.training_data import training_data
from bench.errors import BenchError
from bench.evaluation.measures import BIAS, DEFAULT, canonical, is_deep, lower_is_better, parse_measures
from bench.evaluation.tasks import bias, language_shares
from bench.report.comparison import standings
from bench.report.leaderboard import gap_frame, leaderboard
from bench.report.report import write_leaderboard
from bench.request import Request, check
from bench.results.store import Store
from bench.results.systems import gather
from bench.running.experiment import make_experiment

DEU = Pair("deu", "eng")


def lareqa_world(folder: Path, bitext: dict[str, str]) -> World:
    """The collection in a mirror, bitext of German with English, and the cards of both."""
    world = World(folder)
    files = {f"{code}.json": text for code, text in LAREQA.items()}
    test = {"role": "test", "format": "lareqa"}
    files_of_two = {"queries": "{query}.json", "documents": "{document}.json"}
    two = {"pairs": ["deu-eng", "deu-deu", "deu-spa"], "files": files_of_two}
    pool = {"pairs": ["deu-mul"], "files": {"queries": "{query}.json", "documents": list(files)}}
    codes = {"deu": "de", "eng": "en", "spa": "es"}
    world.add("pool", files, data=[{**test, **pool}, {**test, **two}], codes=codes, measures=["MAP@1000", "R@100"])
    sides = ("".join(f"{text}\n" for text in side) for side in (bitext, bitext.values()))
    world.aligned("news", "bitext", *sides, pair="deu-eng")
    world.add("usual", mix={"pairs": ["deu-eng"], "bitext": ["news"]})
    return world


BITEXT = {
    f"Satz {number} über {thing}.": f"Sentence {number} on {thing}." for number, thing in enumerate("abcdefgh" * 8)
}


def test_training_data_are_checked_against_all_pairs_of_the_student(tmp_path: Path) -> None:
    """A student trained for German and English is also evaluated on German and on all languages together."""
    leaks = {"Wie alt ist sie?": "How old is it?", "Wer ist's?": "El molino es viejo. El molino es viejo."}
    world = lareqa_world(tmp_path, {**BITEXT, **leaks})
    data = training_data(["news"], [DEU], world.resolver, world.cards)
    assert data.bitext.query_side == tuple(BITEXT)
    report: Any = data.report
    exact = {test: counts["bitext"]["exact"] for test, counts in report["leakage"].items()}
    assert exact == {"pool deu-mul": 2, "pool": 0, "pool deu-deu": 1}


def test_one_student_per_language_is_evaluated_on_all_its_pairs(tmp_path: Path, encoder_folder: Path) -> None:
    world = lareqa_world(tmp_path, BITEXT)
    request = Request.model_validate(
        {
            "methods": ["distillation"],
            "datasets": ["pool"],
            "encoder": str(encoder_folder),
            "budget": "1steps",
            "device": "cpu",
            "recipe": {"vocabulary_size": 100, "batch_size": 8},
            "results": tmp_path / "results",
            "mirror": tmp_path / "mirror",
            "offline": True,
            "quiet": True,
        }
    )
    check(request, world.cards)
    experiment = make_experiment(request, world.cards, world.resolver)
    assert {
        (training.method.name, str(training.spec.pairs[0])): len(cells) for training, cells in experiment.cells.items()
    } == {
        ("zero-shot", "deu-eng"): 3,
        ("untrained", "deu-eng"): 3,
        ("oracle", "deu-eng"): 1,
        ("distillation", "deu-eng"): 3,
        ("zero-shot", "deu-spa"): 1,
        ("oracle", "deu-spa"): 1,
    }
    assert set(experiment.measures) == {*DEFAULT, "AP@1000", *BIAS}

    assert run(request, world.cards) == 0
    board = rows(tmp_path / "results")
    pairs = {"deu-mul", "deu-eng", "deu-deu"}
    assert {row["pair"] for row in board if row["method"] == "distillation"} == pairs
    assert {row["pair"] for row in board if row["method"] == "zero-shot"} == {*pairs, "deu-spa"}
    pooled = {row["measure"] for row in board if row["pair"] == "deu-mul"}
    assert pooled == {*DEFAULT, "AP@1000", *BIAS}
    assert {row["measure"] for row in board if row["pair"] == "deu-eng"} == {*DEFAULT, "AP@1000"}
    shares = [row for row in rows(tmp_path / "results", "languages.csv") if row["method"] == "distillation"]
    assert {row["language"] for row in shares} == {"deu", "eng", "spa"}
    assert sum(float(row["documents"]) for row in shares) == pytest.approx(1, abs=1e-5)
    assert {row["queries"] for row in board if row["pair"] == "deu-mul"} == {"3"}
    (configuration,) = (tmp_path / "results" / "configurations").iterdir()
    assert tomllib.loads(configuration.read_text())["measures"] == [*DEFAULT, "AP@1000"]
    (training,) = (tmp_path / "results" / "trainings").glob("distillation.*")
    assert json.loads((training / "manifest.json").read_text())["spec"]["pairs"] == ["deu-eng"]
    cells = list((tmp_path / "results" / "cells").glob("distillation.*.small.seed0.pool.single-vector-*"))
    assert len(cells) == 3
    for cell in cells:
        manifest = json.loads((cell / "manifest.json").read_text())
        assert manifest["training"] == training.name
        assert cell.name.startswith(f"distillation.{manifest['spec']['pair']}.")


def test_a_measure_that_a_card_misspells_is_refused_with_its_name(tmp_path: Path) -> None:
    world = lareqa_world(tmp_path, BITEXT)
    cards = {"pool": world.cards["pool"].model_copy(update={"measures": ("nDGC@10",)})}
    request = Request(methods=("optical",), datasets=("pool",))
    with pytest.raises(BenchError, match=r"pool\.toml: measures: unknown measure 'nDGC@10'; did you mean nDCG@10"):
        check(request, cards)
    check(request.model_copy(update={"measures": ("RR@10",)}), cards)


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
    # Only the first ten count.
    long = replace(
        POOL,
        document_ids=tuple(f"d{i}" for i in range(20)),
        documents=("x",) * 20,
        document_languages=("deu",) * 10 + ("eng",) * 10,
    )
    run = {"q1": [(f"d{i}", float(-i)) for i in range(20)]}
    assert language_shares(run, long)["deu"] == {"documents": 0.5, "top": 1.0}


def test_measures_of_bias_are_never_asked_for_and_lower_is_better() -> None:
    with pytest.raises(BenchError, match="it is computed for every collection of its task"):
        parse_measures(["MaxR@1000"])
    assert canonical("MaxR@1000") == "MaxR@1000"
    assert canonical("MRR@10") == "RR@10"
    assert is_deep("RankDistance@1000") and lower_is_better("RankDistance@1000")
    assert not lower_is_better("nDCG@10")


def test_less_bias_ranks_higher(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    for method, ranks in (("fair", 2.0), ("biased", 500.0), ("middling", 90.0)):
        add(store, {"MaxR@1000": {f"q{i}": ranks + i for i in range(30)}}, method=method)
    found, compared = standings(gather(store.contents().cells), ["MaxR@1000"], "biased")
    ranks = [(row.system.name, row.best_rank, row.worst_rank) for row in found.itertuples()]
    assert ranks == [("fair", 1, 1), ("middling", 2, 2), ("biased", 3, 3)]
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
