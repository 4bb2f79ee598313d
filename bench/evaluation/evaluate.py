"""The evaluation of one retriever on one test collection: encode, index, search."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Ids, TestCollection
from bench.encoders.encoder import autocast
from bench.errors import BenchError
from bench.evaluation.embeddings import Embeddings
from bench.evaluation.index import approximate
from bench.evaluation.maxsim import maxsim
from bench.evaluation.measures import RUN_DEPTH
from bench.evaluation.mining import mine
from bench.evaluation.retrieval import best, search
from bench.evaluation.retriever import QUERY_PRECISION, DualEncoder, OnBatch, Ranker, Retriever
from bench.evaluation.run import LARGEST, Run, strictly_decreasing


@dataclass(frozen=True)
class Evaluation:
    """A run and its cost. `seconds["encode_documents"]` is 0 if the embeddings were stored."""

    run: Run
    seconds: dict[str, float]
    documents_cached: bool = False
    index_mib: float | None = None
    """Size of the document embeddings as float32, or of their approximate index; None for a `Ranker`."""
    index: Mapping[str, Any] | None = None
    """Facts about an approximate index, such as its recall."""
    rewritten: Sequence[str] = ()
    unnormalised: int | None = None
    """Number of query and document vectors whose length is not 1; None without vectors."""
    unknown_pieces: float | None = None
    """Share of [UNK] among the word pieces of the queries; None without word pieces."""


def evaluate(
    retriever: Retriever,
    test: TestCollection,
    *,
    scoring: str = "single-vector",
    index: str = "",
    oracle: bool,
    cache: Path,
    scratch: Path,
    depth: int = RUN_DEPTH,
    on_texts: OnBatch = lambda count: None,
) -> Evaluation:
    """Return the run of a retriever, with `depth` documents per query, or the mined pairs in bitext mining.

    Vectors are searched exactly, or with the FAISS index `index`. Documents are encoded and searched block by block.
    Document embeddings of a frozen encoder are stored in the folder `cache` for later cells. Other embeddings are in
    `scratch`, for the other cells of a training, and so that a cell can continue after a crash. Raises `BenchError` if
    an embedding or a score is not a number, or if the output of the retriever does not match the collection.
    """
    queries = test.oracle_queries if oracle else test.queries
    if queries is None:
        raise ValueError(f"{test.name} has no translation of its queries")
    if scoring not in retriever.scorings:
        raise ValueError(f"a {type(retriever).__name__} does not support the scoring {scoring}")
    ids, started = Ids(test.query_ids, test.document_ids), time.perf_counter()
    if isinstance(retriever, Ranker):
        run = _checked_run(retriever.rank(queries, test.documents, ids, depth, on_texts), ids, depth)
        return Evaluation(run, {"search": time.perf_counter() - started})
    if not isinstance(retriever, DualEncoder):
        raise TypeError(f"a {type(retriever).__name__} is neither a DualEncoder nor a Ranker")
    rewritten = retriever.rewrite(queries, lambda count: on_texts(0))
    seconds = time.perf_counter() - started
    texts = list(rewritten) if isinstance(rewritten, Sequence) and not isinstance(rewritten, str) else []
    if len(texts) != len(queries) or not all(isinstance(text, str) for text in texts):
        raise BenchError(f"rewrite must return a sequence of {len(queries)} texts, one for each query")
    started = time.perf_counter()
    if scoring == "maxsim":
        sizes: list[int] = []
        run = best(maxsim(retriever, texts, test.documents, depth, on_texts, sizes.append), ids, depth)
        evaluation = Evaluation(run, {"maxsim": time.perf_counter() - started}, index_mib=_mebibytes(sum(sizes)))
    else:
        frozen = not any(parameter.requires_grad for parameter in retriever.document_encoder.parameters())
        documents = Embeddings(retriever, "document", test.documents, cache if frozen else scratch, on_texts)
        with autocast(retriever.query_encoder.device, QUERY_PRECISION):
            encoded_queries = Embeddings(retriever, "query", texts, scratch, on_texts)
            started = time.perf_counter()
            vectors = np.concatenate(list(encoded_queries))
        facts, size = None, len(test.documents) * vectors.shape[1] * vectors.itemsize
        if test.task == "bitext mining":
            run = mine(vectors, documents, ids)
        elif index:
            run, facts, size = approximate(index, vectors, documents, ids, depth)
        else:
            run = search(vectors, documents, ids, depth)
        times = {"encode_documents": documents.seconds, "encode_queries": encoded_queries.seconds}
        times["search"] = time.perf_counter() - started - sum(times.values())
        evaluation = Evaluation(
            run,
            times,
            documents_cached=documents.seconds == 0,
            index_mib=_mebibytes(size),
            index=facts,
            unnormalised=encoded_queries.unnormalised + documents.unnormalised,
        )
    evaluation = replace(evaluation, unknown_pieces=retriever.query_encoder.unknown_pieces(texts, "query"))
    if rewritten is queries:
        return evaluation
    return replace(evaluation, seconds={"rewrite_queries": seconds, **evaluation.seconds}, rewritten=texts)


def _mebibytes(size: int) -> float:
    return round(size / 2**20, 3)


def _checked_run(rankings: Any, ids: Ids, depth: int) -> Run:
    """Return the run of the output of a ranker. Raises `BenchError` for unknown ids and malformed output."""
    if not isinstance(rankings, Mapping):
        raise BenchError(f"rank must return a mapping of query ids, not {type(rankings).__name__}")
    if unknown := sorted(map(repr, rankings.keys() - set(ids.queries))):
        raise BenchError(f"rank returned an unknown query id: {unknown[0]}")
    documents = set(ids.documents)
    for query, ranking in rankings.items():
        if not isinstance(ranking, Sequence):
            raise BenchError(f"rank must return a sequence for query {query!r}, not {type(ranking).__name__}")
        seen: set[str] = set()
        for item in ranking:
            try:
                document, score = item
                valid = document in documents and document not in seen and abs(score) <= LARGEST
            except (TypeError, ValueError):
                valid = False
            if not valid:
                requirement = "rank must return (document id, score) with known ids, none twice, and finite scores"
                raise BenchError(f"{requirement}; for query {query!r} it returned {item!r}")
            seen.add(document)
    return {query: strictly_decreasing(rankings[query])[:depth] for query in ids.queries if query in rankings}
