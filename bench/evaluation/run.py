"""Runs: ranked documents for each query, with strictly decreasing scores, and their files."""

import gzip
import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.evaluation.conventions import Ties, TrecRun
from bench.storage.atomic import atomic_gzip, open_gzip

Run = Mapping[str, Sequence[tuple[str, float]]]
"""Query id -> (document id, score), best first; scores within a query strictly decrease."""


LARGEST = float(np.finfo(np.float32).max)
"""The largest absolute value of a score; runs hold float32."""
_LARGEST_KEY = int(np.float32(LARGEST).view(np.int32))


def strictly_decreasing(ranking: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Sort by score, ties by ascending document id, and make the scores distinct as float32: measures treat ties
    inconsistently.
    """
    return _distinct(_ordered(ranking))


def _ordered(ranking: Sequence[tuple[str, float]], ties: Ties = "ascending-id") -> list[tuple[str, float]]:
    by_id = sorted(ranking, key=itemgetter(0), reverse=ties == "descending-id")
    return sorted(by_id, key=itemgetter(1), reverse=True)  # which keeps the order of equal scores


def _distinct(ordered: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the ranking in its order, with the nearest scores as float32 that strictly decrease."""
    values = np.clip([score for _, score in ordered], -LARGEST, LARGEST).astype(np.float32)
    if not (values[1:] < values[:-1]).all():
        # The bits of a float32, as an integer, count the numbers between it and 0.
        bits, places = values.view(np.int32).astype(np.int64), np.arange(len(values))
        keys = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
        keys = np.minimum.accumulate(keys + places) - places
        keys = np.maximum(keys, places[::-1] - _LARGEST_KEY)  # no score is infinite
        values = np.copysign(np.abs(keys).astype(np.int32).view(np.float32), keys)
    return [(document, value) for (document, _), value in zip(ordered, values.tolist(), strict=True)]


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write TREC's six columns, gzipped without a time stamp, so that equal runs are equal bytes."""
    with atomic_gzip(path) as file:
        for query, ranking in run.items():
            for rank, (document, score) in enumerate(ranking, start=1):
                file.write(f"{query} Q0 {document} {rank} {score:.9g} {tag}\n")


def read_run(path: Path) -> Run:
    """Return the run that `write_run` wrote. Raises `BenchError` if it is damaged."""
    run: dict[str, list[tuple[str, float]]] = {}
    for query, document, score in _rows(path, " "):
        run.setdefault(query, []).append((document, score))
    return run


def read_trec_run(path: Path, depth: int, ties: Ties = "descending-id") -> TrecRun:
    """Return the first `depth` documents per query, by their scores, of a run in TREC's six columns, perhaps gzipped.
    The last column may contain blanks. Raises `BenchError` for a malformed line, and for a document that occurs twice.
    """
    run: dict[str, list[tuple[str, float]]] = {}
    tied: dict[str, int] = {}
    rounded: dict[str, int] = {}
    for query, rows in itertools.groupby(_rows(path), key=itemgetter(0)):
        ranking = run.get(query, []) + [(document, score) for _, document, score in rows]
        if len({document for document, _ in ranking}) < len(ranking):
            raise BenchError(f"{path}: a document occurs twice for the query '{query}'")
        ordered = _ordered(ranking, ties)
        scores = np.array([score for _, score in ordered])
        tied[query] = _equal(scores)
        rounded[query] = _equal(np.clip(scores, -LARGEST, LARGEST).astype(np.float32)) - tied[query]
        run[query] = ordered[:depth]
    if not run:
        raise BenchError(f"{path} is empty")
    rankings = {query: _distinct(ranking) for query, ranking in run.items()}
    return TrecRun(rankings, sum(tied.values()), sum(rounded.values()))


def _equal(ordered: np.ndarray) -> int:
    """Return the number of sorted scores that are equal to another one."""
    same = ordered[1:] == ordered[:-1]
    return int((np.append(same, False) | np.append(False, same)).sum())


def _rows(path: Path, separator: str | None = None) -> Iterator[tuple[str, str, float]]:
    """Yield query id, document id and score of each line."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with open_gzip(path) if packed else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.removeprefix("\ufeff")
                if line.isspace():
                    continue
                try:
                    query, _, document, _, score, _ = line.split(separator, 5)
                    value = float(score)
                except ValueError:
                    value = math.nan
                if math.isnan(value):
                    requirement = "expected six columns with a numeric score in column 5"
                    raise BenchError(f"{path}: line {number}: {requirement}")
                yield query, document, value
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is damaged: {error}; if it is part of a cell, delete that folder") from error
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
