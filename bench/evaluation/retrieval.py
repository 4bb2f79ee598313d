"""Embeddings to runs: one exact FAISS search for every method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import faiss
import numpy as np

from bench.errors import BenchError
from bench.evaluation.measures import RUN_DEPTH
from bench.evaluation.run import Ids, Run, strictly_decreasing

MARGIN = 20
"""Documents fetched beyond the depth: which of nearly equal scores FAISS keeps at its cut is a matter of rounding."""


def search(query_vectors: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids, depth: int = RUN_DEPTH) -> Run:
    """The `depth` documents with the largest inner product for each query, by exhaustive search.

    `query_vectors` (n_queries, dim) and the `blocks` of document vectors, (any number, dim) each and together in the
    order of the ids, are float32 and L2-normalised; no two blocks are held at once. Equal scores are ordered by
    document id. Raises `BenchError` if an embedding is not a number.
    """
    _refuse_nonsense("query", query_vectors)
    place = np.empty(len(ids.documents), dtype=np.int64)
    place[np.argsort(np.array(ids.documents, dtype=object))] = np.arange(len(place))
    best = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))] * len(query_vectors)
    start = 0
    for vectors in blocks:
        _refuse_nonsense("document", vectors)
        for query, (found, values) in enumerate(_nearest(query_vectors, vectors, depth)):
            rows = np.concatenate([best[query][0], start + found])
            scores = np.concatenate([best[query][1], values])
            order = np.lexsort((place[rows], -scores))[:depth]
            best[query] = rows[order], scores[order]
        start += len(vectors)
        del vectors  # before the next block is made
    run = {}
    for name, (rows, scores) in zip(ids.queries, best, strict=True):
        documents = [ids.documents[row] for row in rows.tolist()]
        run[name] = strictly_decreasing(list(zip(documents, scores.tolist(), strict=True)))
    return run


def _refuse_nonsense(side: str, vectors: np.ndarray) -> None:
    if not np.isfinite(vectors).all():
        raise BenchError(f"a {side} embedding is not a number")


def _nearest(queries: np.ndarray, documents: np.ndarray, depth: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each query the rows and scores of its `depth` nearest documents and of all that tie with the last of them."""
    _, nearest = faiss.knn(queries, documents, min(depth + MARGIN, len(documents)), metric=faiss.METRIC_INNER_PRODUCT)
    for query, rows in zip(queries, nearest, strict=True):
        scores = _inner_products(documents[rows], query)
        if (scores > scores.min()).sum() < depth:  # more than the margin may tie at the cut
            rows, scores = np.arange(len(documents)), _inner_products(documents, query)
        yield rows, scores


def _inner_products(documents: np.ndarray, query: np.ndarray) -> np.ndarray:
    """A matrix product may round the same two vectors differently from column to column; a sum per row does not."""
    return (documents * query).sum(axis=1)
