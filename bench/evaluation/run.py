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
from bench.storage.atomic import atomic_gzip, open_gzip

Run = Mapping[str, Sequence[tuple[str, float]]]
"""Query id -> (document id, score), best first; scores within a query strictly decrease."""


def strictly_decreasing(ranking: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Sort by score, ties by document id, and lower ties to the next float32: measures treat ties inconsistently."""
    ordered = sorted(ranking, key=lambda item: (-item[1], item[0]))
    values = np.array([score for _, score in ordered], dtype=np.float32)
    if not (values[1:] < values[:-1]).all():
        for i in range(1, len(values)):
            values[i] = min(values[i], np.nextafter(values[i - 1], np.float32(-np.inf)))
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


def read_trec_run(path: Path, depth: int) -> Run:
    """Return the first `depth` documents per query, by their scores, of a run in TREC's six columns, perhaps gzipped.
    Raises `BenchError` for a malformed line, and for a document that occurs twice.
    """
    run: dict[str, list[tuple[str, float]]] = {}
    for query, rows in itertools.groupby(_rows(path), key=itemgetter(0)):
        ranking = run.get(query, []) + [(document, score) for _, document, score in rows]
        if len({document for document, _ in ranking}) < len(ranking):
            raise BenchError(f"{path}: a document occurs twice for the query '{query}'")
        run[query] = sorted(ranking, key=lambda item: (-item[1], item[0]))[:depth]
    if not run:
        raise BenchError(f"{path} is empty")
    return {query: strictly_decreasing(ranking) for query, ranking in run.items()}


def _rows(path: Path, separator: str | None = None) -> Iterator[tuple[str, str, float]]:
    """Yield query id, document id and score of each line."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with open_gzip(path) if packed else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    query, _, document, _, score, _ = line.split(separator)
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
