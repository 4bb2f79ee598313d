"""Probabilistic structured queries: scores by hand, against bm25s, and with a table learned from a bitext."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import pytest
from conftest import MakeTask

from bench.api import Ids
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.run import strictly_decreasing
from methods.psq import PSQ, PSQConfig, StructuredQueries
from methods.translation_table import Table, words


def retriever(table: Table, **settings: float) -> StructuredQueries:
    return StructuredQueries(table, PSQConfig(**settings))


def rank(
    method: StructuredQueries, queries: Sequence[str], documents: Sequence[str], depth: int = 100
) -> list[dict[str, float]]:
    """Return for each query the scores of the documents `d0`, `d1` ..., the best first."""
    ids = Ids([f"q{i}" for i in range(len(queries))], [f"d{i}" for i in range(len(documents))])
    run = method.rank(queries, documents, ids, depth, lambda count: None)
    return [dict(strictly_decreasing(run[query])[:depth]) for query in ids.queries]


def test_scores_by_hand() -> None:
    """`nyumba` is `house` with 0.8 and `home` with 0.1, so that it is expected 2 * 0.8 + 0.1 times in d0, 0.1 times in
    d1 and 0.8 times in d3, and in 0.8 * 2 + 0.1 * 2 documents.
    """
    documents = ["house house home", "my home", "a dog", "the house of a dog"]
    method = retriever({"nyumba": {"house": 0.8, "home": 0.1}}, k1=1.2, b=0.75)
    found, twice = rank(method, ["Nyumba?", "nyumba, nyumba"], documents)
    idf = math.log(1 + (4 - 1.8 + 0.5) / (1.8 + 0.5))
    lengths = [3, 2, 2, 5]
    expected = {
        f"d{i}": idf * tf / (tf + 1.2 * (0.25 + 0.75 * lengths[i] / 3)) for i, tf in ((0, 1.7), (1, 0.1), (3, 0.8))
    }
    assert found == pytest.approx(expected, rel=1e-6)
    assert list(found) == ["d0", "d3", "d1"]
    assert twice == pytest.approx({key: 2 * value for key, value in expected.items()}, rel=1e-6)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_without_translations_it_is_the_bm25_of_bm25s(k1: float, b: float) -> None:
    rng = np.random.default_rng(0)
    documents = [" ".join(f"w{i}" for i in rng.zipf(1.4, rng.integers(1, 30)).clip(max=60)) for _ in range(50)]
    queries = ["w1 w2 w9", "w3 w3 w17 unheard", "w60"]
    index = bm25s.BM25(k1=k1, b=b, method="lucene")
    index.index([words(text) for text in documents], show_progress=False)
    for query, found in zip(queries, rank(retriever({}, k1=k1, b=b), queries, documents), strict=True):
        scores = index.get_scores([word for word in words(query) if word != "unheard"])
        assert found == pytest.approx({f"d{i}": score for i, score in enumerate(scores) if score}, rel=1e-5)


def test_unknown_words_stand_for_themselves_unless_told_otherwise() -> None:
    documents = ["london 2012", "nothing of the kind"]
    rows = {"mji": {"city": 1.0}}
    assert [*rank(retriever(rows), ["mji wa London 2012"], documents)[0]] == ["d0"]
    assert rank(retriever(rows, keep_unknown=False), ["mji wa London 2012", ""], documents) == [{}, {}]


def test_depth_cuts_equal_scores_by_document_id() -> None:
    documents = ["cat"] * 11 + ["dog", "cat cat"]
    assert [*rank(retriever({}), ["cat"], documents, depth=4)[0]] == ["d12", "d0", "d1", "d10"]


def test_a_bitext_makes_a_retriever_that_survives_saving(make_task: MakeTask, teacher: Encoder, tmp_path: Path) -> None:
    task = make_task()
    made = PSQ().fit(task)
    english, other = task.data.bitext.document_side, task.data.bitext.query_side
    found = rank(made, other, english, depth=1)
    assert np.mean([f"d{i}" in run for i, run in enumerate(found)]) > 0.9
    assert task.outcome["diagnostics"]["log_likelihood"] < 0
    assert task.outcome["diagnostics"]["translations"] == sum(map(len, made.table.values()))
    made.save(tmp_path / "retriever", teacher)
    assert rank(PSQ.load(tmp_path / "retriever", teacher), other, english, depth=1) == found
    (tmp_path / "retriever" / "psq.json").write_text("damaged")
    for folder in (tmp_path, tmp_path / "retriever"):
        with pytest.raises(BenchError, match="no translation table or a damaged one; delete it"):
            PSQ.load(folder, teacher)
