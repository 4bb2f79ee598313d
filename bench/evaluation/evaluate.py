"""The evaluation of one retriever on one test collection: encode, index, search."""

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
    """A run and its cost. `seconds` has `encode_documents` 0 if the embeddings came from the cache."""

    run: Run
    seconds: dict[str, float]
    documents_cached: bool = False
    index_mib: float | None = None
    """Size of the documents' embeddings as float32; None for a `Ranker`."""
    rewritten: Sequence[str] = ()
    """The texts that were encoded instead of the queries, if any."""
    unnormalised: int | None = None
    """The number of query and document vectors whose length is not 1; None if no vectors were searched."""


def evaluate(
    retriever: Retriever,
    test: TestCollection,
    *,
    scoring: str = "single-vector",
    oracle: bool,
    cache: Path,
    scratch: Path,
    depth: int = RUN_DEPTH,
    on_texts: OnBatch = lambda count: None,
) -> Evaluation:
    """Return the run of a retriever on a test collection, with `depth` documents per query; the mined pairs in bitext
    mining.

    Documents are read, encoded and searched block by block. Embeddings of documents by a frozen encoder are stored in
    the folder `cache` for later cells, all others in `scratch`, from which the same cell continues after a crash.
    Embeddings of tokens are not stored.

    Raises `BenchError` if an embedding or a score is not a number, or if the output of the retriever does not fit the
    collection (numbers of texts, dimensions, ids).
    """
    queries = test.queries
    if oracle:
        if test.oracle_queries is None:
            raise ValueError(f"{test.name} has no translation of its queries")
        queries = test.oracle_queries
    if scoring not in retriever.scorings:
        raise ValueError(f"a {type(retriever).__name__} does not support the scoring {scoring}")
    ids, started = Ids(test.query_ids, test.document_ids), time.perf_counter()
    if isinstance(retriever, Ranker):
        found = retriever.rank(queries, test.documents, ids, depth, on_texts)
        _check_rankings(found, ids)
        run = {query: strictly_decreasing(found[query])[:depth] for query in ids.queries if query in found}
        return Evaluation(run, {"search": time.perf_counter() - started})
    if not isinstance(retriever, DualEncoder):
        raise TypeError(f"a {type(retriever).__name__} is neither a DualEncoder nor a Ranker")
    rewritten = retriever.rewrite(queries, lambda count: on_texts(0))
    seconds = time.perf_counter() - started
    if rewritten is not queries:
        _check_texts(rewritten, len(queries))
    if scoring == "maxsim":
        evaluation = _search_tokens(retriever, test, rewritten, ids, depth, on_texts)
    else:
        evaluation = _search_vectors(retriever, test, rewritten, ids, depth, on_texts, cache, scratch)
    if rewritten is queries:
        return evaluation
    return replace(evaluation, seconds={"rewrite_queries": seconds, **evaluation.seconds}, rewritten=rewritten)


def _search_tokens(
    retriever: DualEncoder, test: TestCollection, queries: Sequence[str], ids: Ids, depth: int, on_texts: OnBatch
) -> Evaluation:
    started = time.perf_counter()
    sizes: list[int] = []
    run = best(maxsim(retriever, queries, test.documents, depth, on_texts, sizes.append), ids, depth)
    return Evaluation(run, {"maxsim": time.perf_counter() - started}, index_mib=_mebibytes(sum(sizes)))


def _search_vectors(
    retriever: DualEncoder,
    test: TestCollection,
    queries: Sequence[str],
    ids: Ids,
    depth: int,
    on_texts: OnBatch,
    cache: Path,
    scratch: Path,
) -> Evaluation:
    encoder = retriever.document_encoder
    frozen = not any(parameter.requires_grad for parameter in encoder.parameters())
    folder = shards_folder(cache if frozen else scratch, encoder, "document", test.documents)
    documents = Shards(_checked(retriever.encode_documents, "encode_documents"), test.documents, folder, on_texts)
    folder = shards_folder(scratch, retriever.query_encoder, "query", queries)
    encoded_queries = Shards(_checked(retriever.encode_queries, "encode_queries"), queries, folder, on_texts)
    started = time.perf_counter()
    vectors = np.concatenate(list(encoded_queries))
    unnormalised = count_unnormalised(vectors)

    def blocks() -> Iterator[np.ndarray]:
        nonlocal unnormalised
        for block in documents:
            if block.shape[1] != vectors.shape[1]:
                raise BenchError(
                    f"document embeddings have {block.shape[1]} dimensions, query embeddings {vectors.shape[1]}"
                )
            unnormalised += count_unnormalised(block)
            yield block
            del block  # before the next is made

    run = task_of(test).search(vectors, blocks(), ids, depth)
    seconds = {"encode_documents": documents.seconds, "encode_queries": encoded_queries.seconds}
    seconds["search"] = time.perf_counter() - started - sum(seconds.values())
    index = _mebibytes(len(test.documents) * vectors.shape[1] * vectors.itemsize)
    return Evaluation(run, seconds, documents.seconds == 0, index, unnormalised=unnormalised)


def _mebibytes(size: int) -> float:
    return round(size / 2**20, 3)


def _check_type(value: object, expected: type, requirement: str) -> None:
    if not isinstance(value, expected) or (isinstance(value, str) and expected is not str):
        raise BenchError(f"{requirement}, not {type(value).__name__}")


def _check_rankings(found: Mapping[str, Sequence[tuple[str, float]]], ids: Ids) -> None:
    """Raise `BenchError` unless these are rankings of the collection's documents for its queries."""
    _check_type(found, Mapping, "rank must return a mapping of query ids")
    queries, documents = set(ids.queries), set(ids.documents)
    for query, ranking in found.items():
        if query not in queries:
            raise BenchError(f"rank returned an unknown query id: {query!r}")
        where, seen = f"for query {query!r}", set()
        _check_type(ranking, Sequence, f"rank must return a sequence {where}")
        for item in ranking:
            try:
                document, score = item
                known, number = document in documents, abs(score) <= LARGEST
            except (TypeError, ValueError) as error:
                raise BenchError(f"rank must return (document id, score) {where}, not {item!r}") from error
            if not known:
                raise BenchError(f"rank returned an unknown document id {where}: {document!r}")
            if document in seen:
                raise BenchError(f"rank returned a document twice {where}: {document!r}")
            if not number:
                raise BenchError(f"rank returned a score that is not a number {where}: {item!r}")
            seen.add(document)


def _check_texts(texts: Sequence[str], count: int) -> None:
    """Raise `BenchError` unless these are `count` texts."""
    _check_type(texts, Sequence, "rewrite must return a sequence of texts")
    if len(texts) != count:
        raise BenchError(f"rewrite returned {len(texts)} texts for {count} queries")
    for text in texts:
        _check_type(text, str, "rewrite must return texts")


def _checked(encode: Encode, name: str) -> Encode:
    """Wrap an encoding function: raise `BenchError` unless it returns one row per text, of the same dimension."""
    dimensions: set[int] = set()

    def encode_checked(texts: Sequence[str], on_texts: OnBatch) -> np.ndarray:
        vectors = encode(texts, on_texts)
        requirement = f"{name} must return a (texts, dimension) float32 array"
        _check_type(vectors, np.ndarray, requirement)
        if vectors.dtype != np.float32 or vectors.ndim != 2:
            raise BenchError(f"{requirement}, not {vectors.shape} {vectors.dtype}")
        if len(vectors) != len(texts):
            raise BenchError(f"{name} returned {len(vectors)} rows for {len(texts)} texts")
        dimensions.add(vectors.shape[1])
        if len(dimensions) > 1:
            raise BenchError(f"{name} returned rows of different dimensions: {', '.join(map(str, sorted(dimensions)))}")
        return vectors

    return encode_checked
