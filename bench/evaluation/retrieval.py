"""Exact search: from embeddings to runs, with FAISS, the same for every method."""

from collections.abc import Iterable, Iterator

import faiss
import numpy as np

from bench.data import Ids
from bench.errors import BenchError
from bench.evaluation.run import Run, strictly_decreasing

MARGIN = 20
"""Documents fetched beyond the depth, because rounding decides which of nearly equal scores FAISS cuts."""
UNIT = 1e-4
"""The tolerance for the length of a normalised vector, a thousand times the rounding of float32."""

Found = Iterable[tuple[np.ndarray, np.ndarray]]
"""For each query, rows of documents and their scores, which include the largest of a block and all ties."""


def search(query_vectors: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids, depth: int) -> Run:
    """Return the `depth` documents with the largest inner product for each query, by exhaustive search over
    L2-normalised float32 (n_queries, dim) and blocks of (any number, dim). Equal scores are ordered by document id.
    Raises `BenchError` if an embedding is not a number or the two sides differ in dimension.
    """
    refuse_nonsense("query", query_vectors)
    size = query_vectors.shape[1]

    def found() -> Iterator[Found]:
        start = 0
        for vectors in blocks:
            if vectors.shape[1] != size:
                raise BenchError(f"document embeddings have {vectors.shape[1]} dimensions, query embeddings {size}")
            refuse_nonsense("document", vectors)
            yield _nearest(query_vectors, vectors, start, depth)
            start += len(vectors)
            del vectors  # before the next block is made

    return best(found(), ids, depth)


def best(blocks: Iterable[Found], ids: Ids, depth: int) -> Run:
    """Return the `depth` documents with the largest scores of all blocks; equal scores are ordered by document id."""
    place = np.empty(len(ids.documents), dtype=np.int64)
    place[np.argsort(np.array(ids.documents, dtype=object))] = np.arange(len(place))
    nearest = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))] * len(ids.queries)
    for block in blocks:
        for query, (found, values) in enumerate(block):
            rows = np.concatenate([nearest[query][0], found])
            scores = np.concatenate([nearest[query][1], values])
            order = np.lexsort((place[rows], -scores))[:depth]
            nearest[query] = rows[order], scores[order]
    run = {}
    for name, (rows, scores) in zip(ids.queries, nearest, strict=True):
        documents = [ids.documents[row] for row in rows.tolist()]
        run[name] = strictly_decreasing(list(zip(documents, scores.tolist(), strict=True)))
    return run


def refuse_nonsense(side: str, values: np.ndarray) -> None:
    """Raise `BenchError` if an embedding of that side, or a score made from it, is not a number."""
    if not np.isfinite(values).all():
        raise BenchError(f"a {side} embedding is not a number")


def count_unnormalised(vectors: np.ndarray) -> int:
    """Return the number of (n, dim) vectors whose length is not 1, so that inner products are not cosines."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return int((np.abs(lengths - 1) > UNIT).sum())


def _nearest(queries: np.ndarray, documents: np.ndarray, start: int, depth: int) -> Found:
    """Yield for each query the rows, counted from `start`, and the scores of its `depth` nearest documents and of all
    that tie with the last of them.
    """
    _, nearest = faiss.knn(queries, documents, min(depth + MARGIN, len(documents)), metric=faiss.METRIC_INNER_PRODUCT)
    for query, rows in zip(queries, nearest, strict=True):
        scores = _inner_products(documents[rows], query)
        if (scores > scores.min()).sum() < depth:  # more than the margin may tie at the cut
            rows, scores = np.arange(len(documents)), _inner_products(documents, query)
        yield start + rows, scores


def _inner_products(documents: np.ndarray, query: np.ndarray) -> np.ndarray:
    # A matrix product may round the same two vectors differently from column to column; a sum per row does not.
    return (documents * query).sum(axis=1)
