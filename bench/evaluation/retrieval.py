"""Embeddings to runs: one exact FAISS search for every method, with scores that strictly decrease."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from bench.atomic import atomic_gzip, open_gzip
from bench.errors import BenchError
from bench.evaluation.measures import RUN_DEPTH

MARGIN = 20
"""Documents fetched beyond the depth, so that ties at the cut are broken by document id as well."""

Run = Mapping[str, Sequence[tuple[str, float]]]
"""Query id -> (document id, score), best first; scores within a query strictly decrease."""


@dataclass(frozen=True)
class Ids:
    queries: Sequence[str]
    documents: Sequence[str]


def search(query_vectors: np.ndarray, document_vectors: np.ndarray, ids: Ids, depth: int = RUN_DEPTH) -> Run:
    """The `depth` documents with the largest inner product for each query, by exhaustive search.

    `query_vectors` (n_queries, dim) and `document_vectors` (n_documents, dim) are float32 and L2-normalised.
    Equal scores are ordered by document id. Raises `BenchError` if an embedding is not a number.
    """
    for side, vectors in (("query", query_vectors), ("document", document_vectors)):
        if not np.isfinite(vectors).all():
            raise BenchError(f"a {side} embedding is not a number")
    # Of equal scores at the cut FAISS keeps the lowest rows, so let the rows be in the order of the ids.
    by_id = sorted(range(len(ids.documents)), key=ids.documents.__getitem__)
    document_ids = [ids.documents[row] for row in by_id]
    document_vectors = np.ascontiguousarray(document_vectors[by_id], dtype=np.float32)
    index = faiss.IndexFlatIP(document_vectors.shape[1])
    index.add(document_vectors)
    _, rows = index.search(
        np.ascontiguousarray(query_vectors, dtype=np.float32), min(depth + MARGIN, len(ids.documents))
    )
    run = {}
    for query, vector, found in zip(ids.queries, query_vectors, rows, strict=True):
        # A matrix product may round the same two vectors differently from column to column; a sum per row does not.
        scores = (document_vectors[found] * vector).sum(axis=1)
        ranking = [(document_ids[row], float(score)) for row, score in zip(found, scores, strict=True)]
        run[query] = strictly_decreasing(ranking)[:depth]
    return run


def strictly_decreasing(ranking: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Sort by score, ties by document id, and lower each score that is not below the one before to the next float32.

    Measures disagree with themselves on tied scores; after this there are none.
    """
    result: list[tuple[str, float]] = []
    previous = np.float32(np.inf)
    for document, score in sorted(ranking, key=lambda item: (-item[1], item[0])):
        value = min(np.float32(score), np.nextafter(previous, np.float32(-np.inf)))
        result.append((document, float(value)))
        previous = value
    return result


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write TREC's six columns, gzipped without a time stamp, so that the same run is the same bytes."""
    with atomic_gzip(path) as file:
        for query, ranking in run.items():
            for rank, (document, score) in enumerate(ranking, start=1):
                file.write(f"{query} Q0 {document} {rank} {score:.9g} {tag}\n")


def read_run(path: Path) -> Run:
    """Read what `write_run` wrote. Raises `BenchError` if it is damaged."""
    run: dict[str, list[tuple[str, float]]] = {}
    try:
        with open_gzip(path) as file:
            for line in file:
                query, _, document, _, score, _ = line.split(" ")
                run.setdefault(query, []).append((document, float(score)))
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise BenchError(f"{path} is damaged; delete its folder to compute it again") from error
    return run
