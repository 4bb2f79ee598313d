"""Questions and sentences in several languages: an invented collection, worked out by hand."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from test_loading import World

from bench.commands.run import run
from bench.data import Pair, TestCollection
from bench.data.formats import Source
from bench.data.formats.qa import lareqa
from bench.data.loading import load_test
from bench.data.training_data import training_data
from bench.errors import BenchError
from bench.evaluation.measures import BIAS, DEFAULT
from bench.request import Request, check
from bench.running.experiment import make_experiment

DEU = Pair("deu", "eng")


def paragraph(*sentences: str, **questions: tuple[str, str]) -> dict[str, Any]:
    """The sentences as a context, and questions by id, each with the answer that it has in the context."""
    context = " ".join(sentences)
    starts = [context.index(sentence) for sentence in sentences]
    return {
        "context": context,
        "sentences": list(sentences),
        "sentence_breaks": [[start, start + len(text)] for start, text in zip(starts, sentences, strict=True)],
        "qas": [
            {"id": key, "question": text, "answers": [{"text": answer, "answer_start": context.index(answer)}]}
            for key, (text, answer) in questions.items()
        ],
    }


ENGLISH = [
    paragraph("Mara keeps bees.", "She sells honey.", k1=("What does she sell?", "honey"), k2=("Who?", "Mara")),
    paragraph("The mill is old."),
]
GERMAN = [
    paragraph("Die Mühle ist alt.", "Sie steht still.", k4=("Wie alt ist sie?", "alt")),
    paragraph("Mara hat Bienen.", "Sie verkauft Honig.", k1=("Was verkauft sie?", "Honig"), k2=("Wer?", "Mara")),
]
SPANISH = [
    paragraph("Mara vende miel.", k1=("¿Qué vende?", "miel")),
    paragraph("El molino es viejo.", k4=("¿Cómo es?", "viejo")),
]
FILES = {"en": ENGLISH, "de": GERMAN, "es": SPANISH}


def articles(paragraphs: list[dict[str, Any]]) -> str:
    return json.dumps({"data": [{"title": "t", "paragraphs": [content]} for content in paragraphs]})


def written(folder: Path, **languages: list[dict[str, Any]]) -> dict[str, Path]:
    paths = {code: folder / f"{code}.json" for code in languages}
    for code, paragraphs in languages.items():
        paths[code].write_text(articles(paragraphs), encoding="utf-8")
    return paths


def parsed(folder: Path, pair: Pair, queries: str, *documents: str) -> TestCollection:
    paths = written(folder, **FILES)
    source = Source("mine", {"queries": (paths[queries],), "documents": tuple(paths[code] for code in documents)})
    return lareqa(source, pair)


def test_the_answering_sentences_of_every_language_are_relevant(tmp_path: Path) -> None:
    test = parsed(tmp_path, Pair("deu", "mul"), "de", "en", "de", "es")
    assert (test.query_ids, test.queries) == (("k4", "k1", "k2"), ("Wie alt ist sie?", "Was verkauft sie?", "Wer?"))
    assert dict(zip(test.document_ids, test.documents, strict=True)) == {
        "en-1": "Mara keeps bees. Mara keeps bees. She sells honey.",
        "en-2": "She sells honey. Mara keeps bees. She sells honey.",
        "en-3": "The mill is old. The mill is old.",
        "de-1": "Die Mühle ist alt. Die Mühle ist alt. Sie steht still.",
        "de-2": "Sie steht still. Die Mühle ist alt. Sie steht still.",
        "de-3": "Mara hat Bienen. Mara hat Bienen. Sie verkauft Honig.",
        "de-4": "Sie verkauft Honig. Mara hat Bienen. Sie verkauft Honig.",
        "es-1": "Mara vende miel. Mara vende miel.",
        "es-2": "El molino es viejo. El molino es viejo.",
    }
    assert test.qrels == {
        "k4": {"de-1": 1, "es-2": 1},
        "k1": {"en-2": 1, "de-4": 1, "es-1": 1},
        "k2": {"en-1": 1, "de-3": 1},
    }
    assert test.oracle_queries is None


def test_a_question_without_an_answer_in_the_documents_is_left_out(tmp_path: Path) -> None:
    test = parsed(tmp_path, DEU, "de", "en")
    assert (test.qrels, test.left_out) == ({"k1": {"en-2": 1}, "k2": {"en-1": 1}}, 1)
    assert (test.queries, test.oracle_queries) == (("Was verkauft sie?", "Wer?"), ("What does she sell?", "Who?"))
    assert test.document_ids == ("en-1", "en-2", "en-3")

    test = parsed(tmp_path, Pair("deu", "spa"), "de", "es")
    assert test.qrels == {"k4": {"es-2": 1}, "k1": {"es-1": 1}}
    assert test.oracle_queries == ("¿Cómo es?", "¿Qué vende?")

    test = parsed(tmp_path, Pair("deu", "deu"), "de", "de")
    assert test.qrels == {"k4": {"de-1": 1}, "k1": {"de-4": 1}, "k2": {"de-3": 1}}
    assert test.oracle_queries is None


def test_sentences_that_read_the_same_stay_two_candidates_and_so_do_questions(tmp_path: Path) -> None:
    """As the published counts have it; here neither question may find the other's sentence."""
    twins = [paragraph("It rains.", "So be it.", **{key: ("Why?", "rains")}) for key in ("k1", "k2")]
    path = written(tmp_path, en=twins)["en"]
    test = lareqa(Source("mine", {"queries": (path,), "documents": (path,)}), Pair("eng", "eng"))
    assert len(test.documents) == 4 and len(set(test.documents)) == 2
    assert test.qrels == {"k1": {"en-1": 1}, "k2": {"en-3": 1}}


GOOD = paragraph("It rains.", "So be it.", k=("Why?", "rains"))
QUESTION = GOOD["qas"][0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sentence_breaks": [[0, 9]]}, r"paragraphs\[0\]: not LAReQA's JSON: 'sentence_breaks' has no start and end"),
        ({"sentence_breaks": [[0, 9], [10, "19"]]}, "'sentence_breaks' has no start and end for every sentence"),
        ({"sentence_breaks": [[0, 2], [10, 19]]}, r"qas\[0\]: the answer at 3 starts in no sentence"),
        ({"sentences": None}, "not SQuAD's JSON: no list under 'sentences'"),
        ({"sentences": ["It rains.", " "]}, "no text under 'sentences'"),
        ({"qas": [QUESTION, QUESTION]}, r"qas\[1\]: the id 'k' occurs twice"),
        ({"qas": [{**QUESTION, "answers": []}]}, r"qas\[0\]: no answer under 'answers'"),
        ({"qas": [{**QUESTION, "answers": [{}]}]}, r"qas\[0\]: the answer at None starts in no sentence"),
        ({"qas": []}, "none of its questions has an answer in the files under 'documents'"),
    ],
)
def test_malformed_files_are_refused_with_their_place(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    path = written(tmp_path, en=[{**GOOD, **change}])["en"]
    with pytest.raises(BenchError, match=f"{path.name}.*{complaint}"):
        lareqa(Source("mine", {"queries": (path,), "documents": (path,)}), Pair("eng", "eng"))


def lareqa_world(folder: Path, bitext: dict[str, str]) -> World:
    """The collection in a mirror, bitext of German with English, and the cards of both."""
    world = World(folder)
    files = {f"{code}.json": articles(paragraphs) for code, paragraphs in FILES.items()}
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


def test_the_pool_is_read_from_a_list_of_files(tmp_path: Path) -> None:
    world = lareqa_world(tmp_path, BITEXT)
    test = load_test(world.cards["pool"], Pair("deu", "mul"), world.resolver, world.cards)
    assert (len(test.queries), len(test.documents)) == (3, 9)
