"""Hybrid batches: how often each kind and each language comes, and what the examples are."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import MakeTask, Prepare
from scipy.stats import binomtest

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.errors import BenchError
from methods.hybrid_batch import HybridBatch, HybridBatchConfig

DRAWS = 600
BATCH = 4
ENG, QAA, QAB = "eng", "qaa", "qab"
MONOLINGUAL = {Pair(ENG, ENG), Pair(QAA, QAA)}
CROSS_LINGUAL = {Pair(*languages) for languages in ((QAA, ENG), (ENG, QAA), (QAB, ENG), (ENG, QAB))}


@pytest.fixture
def many(data: TrainingData) -> TrainingData:
    """Two languages with bitext; judgments within English and qaa, and from qab to English, in very unequal numbers."""
    sentences = data.bitext.document_side
    bitext = [Bitext.of(Pair(code, ENG), (f"{code} {s}" for s in sentences), sentences, "hand") for code in (QAA, QAB)]
    judged = [
        Relevance.of(Pair(*languages), sentences[:size], sentences[-size:], "hand")
        for languages, size in (((ENG, ENG), 100), ((QAA, QAA), 12), ((QAB, ENG), 20))
    ]
    return TrainingData((Pair(QAA, ENG), Pair(QAB, ENG)), Bitext.join(bitext), Relevance.join(judged))


def drawn(method: HybridBatch) -> list[Pair]:
    """The languages of many batches, each of one pair."""
    found = []
    for batch in itertools.islice(method.batches(np.random.default_rng(0)), DRAWS):
        pairs = {method.examples.rows.pairs[row] for row in batch["examples"]}
        assert len(pairs) == 1
        assert len(batch["examples"]) == BATCH
        found.append(pairs.pop())
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_kinds_come_as_alpha_says_and_languages_uniformly(
    make_task: MakeTask, prepare: Prepare, many: TrainingData, alpha: float
) -> None:
    method = prepare(HybridBatch, make_task(data=many, recipe={"batch_size": BATCH}), alpha=alpha)
    counts = Counter(drawn(method))
    for expected, share in ((MONOLINGUAL, alpha), (CROSS_LINGUAL, 1 - alpha)):
        found = {pair: count for pair, count in counts.items() if pair in expected}
        total = sum(found.values())
        assert binomtest(total, DRAWS, share).pvalue > 1e-3 if 0 < share < 1 else total == DRAWS * share
        assert set(found) == (expected if share else set())
        assert all(binomtest(count, total, 1 / len(expected)).pvalue > 1e-3 for count in found.values())


def test_translations_stand_in_only_where_there_are_no_judgments(
    make_task: MakeTask, prepare: Prepare, many: TrainingData
) -> None:
    task = make_task(data=many)
    examples = prepare(HybridBatch, task, alpha=0.5).examples.rows
    assert task.outcome["examples"] == {
        "eng-eng relevance": 100,
        "qaa-qaa relevance": 12,
        "qab-eng relevance": 20,
        "qaa-eng bitext": 150,
        "eng-qaa bitext": 150,
        "eng-qab bitext": 150,
    }
    translations = set(zip(many.bitext.query_side, many.bitext.document_side, strict=True))
    for query, positive, source, pair in zip(*examples.columns, strict=True):
        if source == "bitext":
            assert ((query, positive) if pair.document == ENG else (positive, query)) in translations


def test_arms_name_what_they_use() -> None:
    assert HybridBatch(HybridBatchConfig(alpha=1)).supervision == ("relevance",)
    assert HybridBatch().supervision == ("relevance", "bitext")
    assert {name: HybridBatchConfig(**settings).alpha for name, settings in HybridBatch.variants.items()} == {
        "monolingual-batches": 1,
        "cross-lingual-batches": 0,
    }


@pytest.mark.parametrize(("lacks", "cure"), [("relevance", "alpha=0"), ("bitext", "alpha=1")])
def test_what_it_lacks_is_said(make_task: MakeTask, data: TrainingData, lacks: str, cure: str) -> None:
    kinds = {"bitext": Bitext, "relevance": Relevance}
    task = make_task(data=replace(data, **{lacks: kinds[lacks].join([])}))
    with pytest.raises(BenchError, match=cure):
        HybridBatch(HybridBatchConfig(alpha=0.5)).fit(task)
