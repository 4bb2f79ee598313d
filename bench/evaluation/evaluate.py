"""Evaluating one retriever on one test collection: encode, index, search."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.data import Ids, TestCollection
from bench.errors import BenchError
from bench.evaluation.embeddings import Encode, Shards, shards_folder
from bench.evaluation.maxsim import maxsim
from bench.evaluation.measures import RUN_DEPTH
from bench.evaluation.retrieval import best, count_unnormalised
from bench.evaluation.retriever import DualEncoder, OnBatch, Ranker, Retriever
from bench.evaluation.run import Run, strictly_decreasing
from bench.evaluation.tasks import task_of

LARGEST = float(np.finfo(np.float32).max)
"""The largest absolute value of a score; runs hold float32."""


@dataclass(frozen=True)
class Evaluation:
    """A run and what it cost; `seconds` has `encode_documents` 0 where they came from the cache."""

    run: Run
    seconds: dict[str, float]
    documents_cached: bool
    index_mib: float | None = None
    """Size of the documents' embeddings as float32; None for a `Ranker`, whose index is its own affair."""
    rewritten: Sequence[str] = ()
    """What was encoded in place of the queries, if something was."""
    unnormalised: int | None = None
    """How many of the queries' and documents' vectors have another length than 1; None where none were searched."""


def evaluate(
    retriever: Retriever,
    test: TestCollection,
    *,
    scoring: str = "mean",
    oracle: bool,
    cache: Path,
    scratch: Path,
    depth: int = RUN_DEPTH,
    on_texts: OnBatch = lambda count: None,
) -> Evaluation:
    """The run of a retriever on a test collection, with `depth` documents per query; the mined pairs in bitext mining.

    Documents are read, encoded and searched block by block. Embeddings of texts are written as they are made: those of
    documents by an encoder that does not train to the folder `cache`, where every later cell finds them; the others to
    `scratch`, where the same cell finds them if it dies and is run again. Embeddings of tokens are not kept.

    Raises `BenchError` if an embedding or a score is not a number, and for whatever else does not fit the collection:
    numbers of texts, dimensions, ids.
    """
    queries = test.queries
    if oracle:
        if test.oracle_queries is None:
            raise ValueError(f"{test.name} has no translation of its queries")
        queries = test.oracle_queries
    if scoring not in retriever.scorings:
        raise ValueError(f"a {type(retriever).__name__} cannot score by {scoring}, whatever its method says")
    if isinstance(retriever, Ranker):
        return _rank(retriever, test, queries, depth, on_texts)
    if not isinstance(retriever, DualEncoder):
        raise TypeError(f"a {type(retriever).__name__} is neither a DualEncoder nor a Ranker")
    started = time.perf_counter()
    rewritten = retriever.rewrite(queries, lambda count: on_texts(0))
    seconds = time.perf_counter() - started
    if rewritten is not queries:
        _check_texts(rewritten, len(queries))
    evaluation = _search(retriever, test, rewritten, scoring, cache, scratch, depth, on_texts)
    if rewritten is queries:
        return evaluation
    return replace(evaluation, seconds={"rewrite_queries": seconds, **evaluation.seconds}, rewritten=rewritten)


def _search(
    retriever: DualEncoder,
    test: TestCollection,
    queries: Sequence[str],
    scoring: str,
    cache: Path,
    scratch: Path,
    depth: int,
    on_texts: OnBatch,
) -> Evaluation:
    if scoring == "maxsim":
        started = time.perf_counter()
        sizes: list[int] = []
        blocks = maxsim(retriever, queries, test.documents, depth, on_texts, sizes.append)
        run = best(blocks, Ids(test.query_ids, test.document_ids), depth)
        return Evaluation(run, {"maxsim": time.perf_counter() - started}, False, _mebibytes(sum(sizes)))
    encoder = retriever.document_encoder
    frozen = not any(parameter.requires_grad for parameter in encoder.parameters())
    folder = shards_folder(cache if frozen else scratch, encoder, "document", test.documents)
    documents = Shards(_checked(retriever.encode_documents, "encode_documents"), test.documents, folder, on_texts)
    folder = shards_folder(scratch, retriever.query_encoder, "query", queries)
    asked = Shards(_checked(retriever.encode_queries, "encode_queries"), queries, folder, on_texts)
    started = time.perf_counter()
    vectors, ids = np.concatenate(list(asked)), Ids(test.query_ids, test.document_ids)
    unnormalised = count_unnormalised(vectors)

    def counted() -> Iterator[np.ndarray]:
        nonlocal unnormalised
        for block in documents:
            if block.shape[1] != vectors.shape[1]:
                raise BenchError(
                    f"document embeddings have {block.shape[1]} dimensions, query embeddings {vectors.shape[1]}"
                )
            unnormalised += count_unnormalised(block)
            yield block
            del block  # before the next is made

    run = task_of(test).search(vectors, counted(), ids, depth)
    encoding = {"encode_documents": documents.seconds, "encode_queries": asked.seconds}
    searching = time.perf_counter() - started - sum(encoding.values())
    index = _mebibytes(len(test.documents) * vectors.shape[1] * vectors.itemsize)
    cached = documents.seconds == 0
    return Evaluation(run, {**encoding, "search": searching}, cached, index, unnormalised=unnormalised)


def _mebibytes(size: int) -> float:
    return round(size / 2**20, 3)


def _rank(retriever: Ranker, test: TestCollection, queries: Sequence[str], depth: int, on_texts: OnBatch) -> Evaluation:
    started = time.perf_counter()
    found = retriever.rank(queries, test.documents, Ids(test.query_ids, test.document_ids), depth, on_texts)
    _check_rankings(found, test)
    run = {query: strictly_decreasing(found[query])[:depth] for query in test.query_ids if query in found}
    return Evaluation(run, {"search": time.perf_counter() - started}, documents_cached=False)


def _check_rankings(found: Mapping[str, Sequence[tuple[str, float]]], test: TestCollection) -> None:
    """Raise `BenchError` unless these are rankings of the collection's documents for its queries."""
    if not isinstance(found, Mapping):
        raise BenchError(f"rank must return a mapping of query ids, not {type(found).__name__}")
    queries, documents = set(test.query_ids), set(test.document_ids)
    for query, ranking in found.items():
        if query not in queries:
            raise BenchError(f"rank returned an unknown query id: {query!r}")
        if not isinstance(ranking, Sequence):
            raise BenchError(f"rank must return a sequence for query {query!r}, not {type(ranking).__name__}")
        seen = set()
        for item in ranking:
            try:
                document, score = item
                known, number = document in documents, abs(score) <= LARGEST
            except (TypeError, ValueError) as error:
                raise BenchError(f"rank must return (document id, score), not {item!r}, for query {query!r}") from error
            if not known:
                raise BenchError(f"rank returned an unknown document id for query {query!r}: {document!r}")
            if document in seen:
                raise BenchError(f"rank returned document {document!r} twice for query {query!r}")
            if not number:
                raise BenchError(f"a score is not a number: {score!r} for query {query!r}, document {document!r}")
            seen.add(document)


def _check_texts(texts: Sequence[str], count: int) -> None:
    """Raise `BenchError` unless these are `count` texts."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise BenchError(f"rewrite must return a sequence of texts, not {type(texts).__name__}")
    if len(texts) != count:
        raise BenchError(f"rewrite returned {len(texts)} texts for {count} queries")
    for text in texts:
        if not isinstance(text, str):
            raise BenchError(f"rewrite must return texts, not {text!r}")


def _checked(encode: Encode, name: str) -> Encode:
    """Wrap an encoding function: raise `BenchError` unless it returns one row per text, of the same dimension."""
    dimensions: set[int] = set()

    def encode_checked(texts: Sequence[str], on_texts: OnBatch) -> np.ndarray:
        vectors = encode(texts, on_texts)
        if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32 or vectors.ndim != 2:
            found = f"{vectors.shape} {vectors.dtype}" if hasattr(vectors, "dtype") else type(vectors).__name__
            raise BenchError(f"{name} must return a (texts, dimension) float32 array, not {found}")
        if len(vectors) != len(texts):
            raise BenchError(f"{name} returned {len(vectors)} rows for {len(texts)} texts")
        dimensions.add(vectors.shape[1])
        if len(dimensions) > 1:
            raise BenchError(f"{name} returned rows of different dimensions: {', '.join(map(str, sorted(dimensions)))}")
        return vectors

    return encode_checked
