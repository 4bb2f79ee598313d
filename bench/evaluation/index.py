"""Approximate search with any index of FAISS, and its recall against exact search."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import faiss
import numpy as np

from bench.data import Ids
from bench.errors import BenchError
from bench.evaluation.retrieval import best, search
from bench.evaluation.run import Run

NOMINAL = 1920
"""A dimension that most product quantizers divide, for checks before the encoder is known."""
TRAINING = 262_144
"""Documents that an index is trained on at most: 256 for each of 1,024 clusters, the number that FAISS uses."""
JUDGED = 100
"""Queries that the recall is measured on at most."""


def make_index(text: str, dimension: int = NOMINAL, documents: int | None = None) -> Any:
    """Return an empty index by its factory string and, after a colon, parameters of search: `IVF256,Flat:nprobe=16`. It
    scores by inner product. Raises `BenchError` for a string that FAISS refuses for this dimension, and for more
    clusters than `documents`.
    """
    factory, _, parameters = text.partition(":")
    with _building(text):
        index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)  # the default is L2
        faiss.ParameterSpace().set_index_parameters(index, parameters)
    if index.metric_type != faiss.METRIC_INNER_PRODUCT or "IDMap" in factory:
        raise BenchError(f"index '{text}' cannot search documents by inner product")
    clusters = faiss.try_extract_index_ivf(index)
    if clusters and documents is not None and clusters.nlist > documents:
        raise BenchError(f"index '{text}' has {clusters.nlist:,} clusters for {documents:,} documents")
    return index


def approximate(
    text: str, queries: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids, depth: int
) -> tuple[Run, dict[str, float], int]:
    """Return the run of an index, its facts and its size in bytes. The facts are the recall of the first `depth`
    documents against exact search, and the number of random queries that it is measured on. Arrays and errors are those
    of `search`. The blocks are read twice if the index is trained.
    """
    index, rng = make_index(text, queries.shape[1], len(ids.documents)), np.random.default_rng(0)
    if not index.is_trained:
        vectors = _rows(blocks, np.sort(rng.permutation(len(ids.documents))[:TRAINING]))
        with _building(text):
            index.train(vectors)
        del vectors

    def added() -> Iterator[np.ndarray]:
        for vectors in blocks:
            yield vectors  # which `search` checks
            with _building(text):
                index.add(vectors)

    judged = np.sort(rng.permutation(len(queries))[:JUDGED])
    exact = search(queries[judged], added(), Ids([ids.queries[i] for i in judged], ids.documents), depth)
    run = nearest(index, queries, ids, depth)
    recall = fmean(len(dict(found).keys() & dict(run[query])) / len(found) for query, found in exact.items())
    sizes: list[int] = []
    faiss.write_index(index, faiss.PyCallbackIOWriter(lambda data: sizes.append(len(data))))
    return run, {f"recall@{depth}": round(recall, 6), "queries": len(judged)}, sum(sizes)


def nearest(index: Any, queries: np.ndarray, ids: Ids, depth: int) -> Run:
    """Return at most `depth` documents of an index for each query. Equal scores are ordered by document id."""
    scores, rows = index.search(queries, min(depth, index.ntotal))
    found = rows >= 0  # an index may find fewer
    return best([((row[own], values[own]) for row, values, own in zip(rows, scores, found, strict=True))], ids, depth)


def _rows(blocks: Iterable[np.ndarray], rows: np.ndarray) -> np.ndarray:
    start, found = 0, []
    for vectors in blocks:
        found.append(vectors[rows[(rows >= start) & (rows < start + len(vectors))] - start])
        start += len(vectors)
    return np.concatenate(found)


@contextmanager
def _building(text: str) -> Iterator[None]:
    """Use one thread, because the graph of HNSW depends on the order of additions. Raise `BenchError` with FAISS'
    reason, without its place in the source of FAISS.
    """
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = re.sub(r".*(\.\w+:\d+|failed): ", "", str(error), flags=re.DOTALL) or "out of memory"
        raise BenchError(f"index '{text}': {reason}") from error
    finally:
        faiss.omp_set_num_threads(threads)
