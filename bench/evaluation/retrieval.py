"""Exact search with FAISS, from embeddings to runs."""

from collections.abc import Iterable, Iterator
from functools import partial

import faiss
import numpy as np

from bench.data import Ids
from bench.errors import BenchError
from bench.evaluation.run import Run, distinct_scores

MARGIN = 20
"""Additional documents, since rounding determines which of nearly equal scores FAISS cuts."""
UNIT = 1e-4
"""Tolerance for the length of a normalised vector, a thousand times the rounding of float32."""

faiss.cvar.distance_compute_blas_threshold = 1  # since FAISS 1.14 few queries are searched without BLAS, 5 times slower

Found = Iterable[tuple[np.ndarray, np.ndarray]]
"""Rows of documents and their scores for each query, with the largest of a block and all ties."""


def search(query_vectors: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids, depth: int) -> Run:
    """Return the `depth` documents with the largest inner product for each query, by exhaustive search.

    Queries are (n_queries, dim) and documents blocks of (any number, dim), L2-normalised float32. Equal scores are
    ordered by document id. Raises `BenchError` if an embedding is not a number or the dimensions differ.
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
    """Return the `depth` documents with the largest scores of all blocks, ties by document id."""
    documents = np.array(ids.documents, dtype=object)
    place = np.empty(len(documents), dtype=np.int64)
    place[np.argsort(documents, kind="stable")] = np.arange(len(place))
    nearest: list[tuple[np.ndarray, np.ndarray]] = []
    for block in blocks:
        if nearest:
            pairs = zip(nearest, block, strict=True)
            block = ((np.concatenate([a, b]), np.concatenate([v, w])) for (a, v), (b, w) in pairs)
        orders = ((rows, scores, np.lexsort((place[rows], -scores))[:depth]) for rows, scores in block)
        nearest = [(rows[order], scores[order]) for rows, scores, order in orders]
    return {
        query: list(zip(documents[rows].tolist(), distinct_scores(scores).tolist(), strict=True))
        for query, (rows, scores) in zip(ids.queries, nearest, strict=True)
    }


def refuse_nonsense(side: str, values: np.ndarray) -> None:
    """Raise `BenchError` if an embedding of a side, or its score, is not a number."""
    if not np.isfinite(values).all():
        raise BenchError(f"a {side} embedding is not a number")


def count_unnormalised(vectors: np.ndarray) -> int:
    """Return the number of vectors, (n, dim), whose length is not 1."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return int((np.abs(lengths - 1) > UNIT).sum())


def _nearest(queries: np.ndarray, documents: np.ndarray, start: int, depth: int) -> Found:
    """Yield rows from `start` and scores of the `depth` nearest documents of each query, with all ties of the last."""
    nearest = _candidates(queries, documents, min(depth + MARGIN, len(documents)))
    scores = _inner_products(queries, documents, nearest)
    # More documents than the margin may tie at the cut.
    too_few = (scores > scores.min(axis=1, keepdims=True)).sum(axis=1) < depth
    for query, (rows, values, tied) in enumerate(zip(nearest, scores, too_few.tolist(), strict=True)):
        if tied:
            rows = np.arange(len(documents))
            (values,) = _inner_products(queries[query : query + 1], documents, rows[None])
        yield start + rows, values


def _candidates(queries: np.ndarray, documents: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the nearest documents of each query, (n_queries, count), by a GPU if FAISS has one.

    Their scores are computed by the processor in any case, so that a run does not depend on the device.
    """
    knn = partial(faiss.knn_gpu, faiss.StandardGpuResources()) if faiss.get_num_gpus() else faiss.knn
    rows: np.ndarray = knn(queries, documents, count, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return rows


def _inner_products(queries: np.ndarray, documents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the inner products of each query with its rows of documents, (n_queries, n_rows) float32.

    Each pair is computed in the same way, while a matrix product may round equal pairs differently.
    """
    queries, documents, rows = map(np.ascontiguousarray, (queries, documents, rows))
    scores = np.empty(rows.shape, dtype=np.float32)
    arrays = map(faiss.swig_ptr, (scores, queries, documents, rows))
    faiss.fvec_inner_products_by_idx(*arrays, queries.shape[1], *rows.shape)
    return scores
