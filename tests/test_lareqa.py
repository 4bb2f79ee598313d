"""One student per language on a collection with questions and sentences in several languages."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from test_formats import LAREQA
from world import World

from bench.commands.run import run
from bench.data import Pair
from bench.data.training_data import training_data
from bench.errors import BenchError
from bench.evaluation.measures import BIAS, DEFAULT
from bench.request import Request, check
from bench.running.experiment import make_experiment

DEU = Pair("deu", "eng")


def lareqa_world(folder: Path, bitext: dict[str, str]) -> World:
    """The collection in a mirror, bitext of German with English, and the cards of both."""
    world = World(folder)
    files = {f"{code}.json": text for code, text in LAREQA.items()}
    test = {"role": "test", "format": "lareqa"}
    two = {
        "pairs": ["deu-eng", "deu-deu", "deu-spa"],
        "files": {"queries": "{query}.json", "documents": "{document}.json"},
    }
    pool = {"pairs": ["deu-mul"], "files": {"queries": "{query}.json", "documents": list(files)}}
    codes = {"deu": "de", "eng": "en", "spa": "es"}
    world.add("pool", files, data=[{**test, **pool}, {**test, **two}], codes=codes, measures=["MAP@1000", "R@100"])
    sides = {"q": bitext, "d": bitext.values()}
    news = {
        "role": "bitext",
        "format": "aligned-lines",
        "pairs": ["deu-eng"],
        "files": {"queries": "q", "documents": "d"},
    }
    world.add("news", {name: "".join(f"{text}\n" for text in side) for name, side in sides.items()}, data=[news])
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
    with (tmp_path / "results" / "leaderboard.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    pairs = {"deu-mul", "deu-eng", "deu-deu"}
    assert {row["pair"] for row in rows if row["method"] == "distillation"} == pairs
    assert {row["pair"] for row in rows if row["method"] == "zero-shot"} == {*pairs, "deu-spa"}
    pooled = {row["measure"] for row in rows if row["pair"] == "deu-mul"}
    assert pooled == {*DEFAULT, "AP@1000", *BIAS}
    assert {row["measure"] for row in rows if row["pair"] == "deu-eng"} == {*DEFAULT, "AP@1000"}
    with (tmp_path / "results" / "languages.csv").open(newline="") as lines:
        shares = {(row["method"], row["language"]): float(row["documents"]) for row in csv.DictReader(lines)}
    assert {language for method, language in shares if method == "distillation"} == {"deu", "eng", "spa"}
    assert sum(pool for (method, _), pool in shares.items() if method == "distillation") == pytest.approx(1, abs=1e-5)
    assert {row["queries"] for row in rows if row["pair"] == "deu-mul"} == {"3"}
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
