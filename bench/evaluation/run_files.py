"""Files of runs in the six columns of TREC, of this program and of other software."""

import itertools
import math
from array import array
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.evaluation.conventions import Ties, TrecRun
from bench.evaluation.run import LARGEST, Run, distinct, ordered
from bench.storage.atomic import atomic_gzip
from bench.storage.reading import placed_lines


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write the six columns of TREC, gzipped without a time stamp, so that equal runs have equal bytes."""
    with atomic_gzip(path) as file:
        for query, ranking in run.items():
            for rank, (document, score) in enumerate(ranking, start=1):
                file.write(f"{query} Q0 {document} {rank} {score:.9g} {tag}\n")


def read_run(path: Path) -> Run:
    """Return a run of `write_run`. Raises `BenchError` if it is damaged."""
    run: dict[str, list[tuple[str, float]]] = {}
    for query, document, score in _rows(path, may_be_empty=True):
        run.setdefault(query, []).append((document, score))
    return run


def read_trec_run(path: Path, depth: int, ties: Ties = "descending-id") -> TrecRun:
    """Return the first `depth` documents per query, by their scores, of a run in the six columns of TREC.

    The file may be gzipped, and the last column may contain blanks. Scores that are equal as float32 keep their order.
    Raises `BenchError` for a malformed line, and for a document that occurs twice.
    """
    documents: dict[str, list[str]] = {}
    scores: dict[str, array[float]] = {}
    for query, rows in itertools.groupby(_rows(path), key=itemgetter(0)):
        _, found, values = zip(*rows, strict=True)
        documents.setdefault(query, []).append(" ".join(found))  # tuples of a whole run would need much memory
        scores.setdefault(query, array("d")).extend(values)
    rankings, tied, rounded = {}, 0, 0
    for query, parts in documents.items():
        names = " ".join(parts).split(" ")
        if len(set(names)) < len(names):
            raise BenchError(f"{path}: a document occurs twice for the query '{query}'")
        ranking = ordered(list(zip(names, scores[query], strict=True)), descending_ids=ties == "descending-id")
        exact = np.array([score for _, score in ranking])
        equal = _equal(exact)
        tied += equal
        rounded += _equal(np.clip(exact, -LARGEST, LARGEST).astype(np.float32)) - equal
        rankings[query] = distinct(ranking[:depth])
    return TrecRun(rankings, tied, rounded)


def _equal(ordered: np.ndarray) -> int:
    """Return the number of sorted scores that are equal to another score."""
    same = ordered[1:] == ordered[:-1]
    return int((np.append(same, False) | np.append(False, same)).sum())


def _rows(path: Path, *, may_be_empty: bool = False) -> Iterator[tuple[str, str, float]]:
    for place, _, line in placed_lines(path, may_be_empty=may_be_empty):
        if not line.strip():
            continue
        try:
            query, _, document, _, score, _ = line.split(None, 5)
            value = math.nan if "_" in score else float(score)  # float reads 1_0 as 10
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise BenchError(f"{place}: expected six columns with a numeric score in column 5")
        yield query, document, value
