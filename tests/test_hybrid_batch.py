"""Hybrid batches: how often each kind and each language comes, and what the examples are."""

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

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
MONOLINGUAL = {Pair(ENG, ENG): 100, Pair(QAA, QAA): 12, Pair(QAB, QAB): 100}
CROSS_LINGUAL = {Pair(QAA, ENG): 150, Pair(ENG, QAA): 150, Pair(QAB, ENG): 20, Pair(ENG, QAB): 150}
"""The number of examples of each pair of languages."""


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
@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_kinds_come_as_alpha_says_and_languages_by_their_examples(
    make_task: MakeTask, prepare: Prepare, many: TrainingData, alpha: float, exponent: float
) -> None:
    recipe = {"batch_size": BATCH, "language_sampling": exponent}
    method = prepare(HybridBatch, make_task(data=many, recipe=recipe), alpha=alpha)
    counts = Counter(drawn(method))
    for sizes, share in ((MONOLINGUAL, alpha), (CROSS_LINGUAL, 1 - alpha)):
        found = {pair: count for pair, count in counts.items() if pair in sizes}
        total = sum(found.values())
        assert binomtest(total, DRAWS, share).pvalue > 1e-3 if 0 < share < 1 else total == DRAWS * share
        assert set(found) == (set(sizes) if share else set())
        whole = sum(size**exponent for size in sizes.values())
        for pair, count in found.items():
            assert binomtest(count, total, sizes[pair] ** exponent / whole).pvalue > 1e-3


def test_translations_stand_in_only_where_there_are_no_judgments(
    make_task: MakeTask, prepare: Prepare, many: TrainingData
) -> None:
    task = make_task(data=many)
    examples = prepare(HybridBatch, task, alpha=0.5).examples.rows
    assert task.outcome["examples"] == {
        "eng-eng relevance": 100,
        "qaa-qaa relevance": 12,
        "qab-qab glossed": 100,
        "qab-eng relevance": 20,
        "qaa-eng bitext": 150,
        "eng-qaa bitext": 150,
        "eng-qab bitext": 150,
    }
    translations = set(zip(many.bitext.query_side, many.bitext.document_side, strict=True))
    for query, positive, source, pair in zip(*examples.columns, strict=True):
        if source == "bitext":
            assert ((query, positive) if pair.document == ENG else (positive, query)) in translations


@pytest.mark.parametrize("settings", [{"gloss": False}, {"alpha": 0.0}])
def test_glosses_are_left_out_if_they_are_switched_off_or_not_used(
    make_task: MakeTask, prepare: Prepare, many: TrainingData, settings: dict[str, Any]
) -> None:
    task = make_task(data=many)
    prepare(HybridBatch, task, **settings)
    assert not [origin for origin in task.outcome["examples"] if "glossed" in origin]


def test_both_sides_of_a_judgment_are_glossed(make_task: MakeTask, prepare: Prepare, many: TrainingData) -> None:
    rows = prepare(HybridBatch, make_task(data=many)).examples.rows.between(Pair(QAB, QAB))
    vocabulary = {word for text in many.bitext.between(Pair(QAB, ENG)).query_side for word in text.split()}
    for text in (*rows.queries, *rows.positives):
        assert set(text.split()) <= vocabulary


def test_glosses_of_related_judgments_are_no_negatives(make_task: MakeTask, prepare: Prepare) -> None:
    """Judgments of one English question or passage are related, although their glosses are drawn apart."""
    task = make_task()
    examples = prepare(HybridBatch, task).examples
    rows = np.flatnonzero([source == "glossed" for source in examples.rows.sources])
    chosen = list(zip(*task.data.relevance.columns[:2], strict=True))
    expected = [[bool({*one} & {*other}) for other in chosen] for one in chosen]
    assert examples.related(rows, rows).tolist() == expected


def test_arms_name_what_they_use() -> None:
    assert HybridBatch(HybridBatchConfig(alpha=1, gloss=False)).supervision == ("relevance",)
    assert HybridBatch(HybridBatchConfig(alpha=1)).supervision == ("relevance", "bitext")
    assert HybridBatch().supervision == ("relevance", "bitext")
    alphas = {name: HybridBatchConfig(**settings).alpha for name, settings in HybridBatch.variants.items()}
    assert alphas == {"monolingual-batches": 1, "cross-lingual-batches": 0}


def test_what_it_lacks_is_said(make_task: MakeTask, data: TrainingData) -> None:
    without = replace(data, relevance=Relevance.join([])), replace(data, bitext=Bitext.join([]))
    cures = ("alpha=0", "alpha=0"), ("name a collection that has some with --train", "alpha=1")
    for given, of_gloss in zip(without, cures, strict=True):
        for gloss, cure in zip((True, False), of_gloss, strict=True):
            with pytest.raises(BenchError, match=cure):
                HybridBatch(HybridBatchConfig(gloss=gloss)).fit(make_task(data=given))
