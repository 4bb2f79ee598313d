"""Evaluation: which texts are encoded by whom, and what may come from the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.data import TestCollection
from bench.encoders import Encoder
from bench.evaluation import EmbeddingCache, evaluate
from bench.retriever import Retriever

BuildEncoder = Callable[..., Encoder]


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "embeddings")


def best(evaluation: object) -> list[str]:
    return [ranking[0][0] for ranking in evaluation.run.values()]  # type: ignore[attr-defined]


def test_queries_are_encoded_by_one_encoder_and_documents_by_the_other(
    teacher: Encoder, build_encoder: BuildEncoder, collection: TestCollection, cache: EmbeddingCache
) -> None:
    student = build_encoder(seed=3, prompts={"query": "the ", "document": "some "})
    run = evaluate(Retriever(student, teacher), collection, oracle=False, cache=cache).run
    scores = student.encode(collection.queries, "query") @ teacher.encode(collection.documents, "document").T
    assert list(run) == list(collection.query_ids)
    for row, ranking in enumerate(run.values()):
        assert len(ranking) == len(collection.documents)
        assert ranking[0][0] == collection.document_ids[int(scores[row].argmax())]
        found = dict(ranking)
        expected = dict(zip(collection.document_ids, scores[row], strict=True))
        assert found == pytest.approx({key: float(value) for key, value in expected.items()}, abs=1e-5)


def test_oracle_is_given_the_translated_queries(
    teacher: Encoder, collection: TestCollection, cache: EmbeddingCache
) -> None:
    """Here they are the documents themselves, so that nothing is easier."""
    found = best(evaluate(Retriever(teacher, teacher), collection, oracle=True, cache=cache))
    assert found == [f"d{i:02d}" for i in range(20)]
    assert best(evaluate(Retriever(teacher, teacher), collection, oracle=False, cache=cache)) != found


def test_oracle_without_translations_is_refused(
    teacher: Encoder, collection: TestCollection, cache: EmbeddingCache
) -> None:
    bare = dataclasses.replace(collection, oracle_queries=None)
    with pytest.raises(ValueError, match="no translation of its queries"):
        evaluate(Retriever(teacher, teacher), bare, oracle=True, cache=cache)


def test_documents_of_a_frozen_encoder_are_encoded_once(
    teacher: Encoder, collection: TestCollection, cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = Retriever(teacher, teacher)
    first = evaluate(retriever, collection, oracle=False, cache=cache)
    counts: list[int] = []
    second = evaluate(retriever, collection, oracle=False, cache=cache, on_texts=counts.append)
    assert (first.documents_cached, second.documents_cached) == (False, True)
    assert second.seconds["encode_documents"] == 0 < first.seconds["encode_documents"]
    assert sum(counts) == len(collection.queries)
    assert second.run == first.run


def test_documents_of_a_trained_encoder_are_never_cached(
    build_encoder: BuildEncoder, collection: TestCollection, cache: EmbeddingCache
) -> None:
    student = build_encoder(seed=3)
    for _ in range(2):
        assert not evaluate(Retriever(student, student), collection, oracle=False, cache=cache).documents_cached
    assert not cache.folder.exists()


def test_cache_tells_encoders_and_texts_apart(
    build_encoder: BuildEncoder, collection: TestCollection, cache: EmbeddingCache
) -> None:
    one, other = (build_encoder(seed=seed).freeze() for seed in (0, 1))
    texts = collection.documents
    vectors = [
        cache.documents(encoder, some, lambda count: None) for encoder in (one, other) for some in (texts, texts[::-1])
    ]
    assert not any(cached for _, cached in vectors)
    again, cached = cache.documents(one, texts, lambda count: None)
    assert cached
    assert np.array_equal(again, vectors[0][0])
    assert np.array_equal(again, one.encode(texts, "document"))
