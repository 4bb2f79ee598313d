"""Judgments: those of files, and those that follow from queries which read the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.data.formats.text import lines
from bench.errors import BenchError

BEIR_HEADER = ["query-id", "corpus-id", "score"]


def judge_alike(ids: Sequence[str], relevant: Sequence[str], *columns: Sequence[str]) -> dict[str, dict[str, int]]:
    """Qrels by query id: the query's own relevant document, and those of all queries that share a text with it.

    `ids`, `relevant` and each column (such as the queries and their oracle translations) correspond row by row;
    texts are compared within a column, letter by letter.
    """
    qrels: dict[str, dict[str, int]] = {key: {document: 1} for key, document in zip(ids, relevant, strict=True)}
    for column in columns:
        documents: dict[str, dict[str, int]] = {}
        for text, document in zip(column, relevant, strict=True):
            documents.setdefault(text, {})[document] = 1
        for key, text in zip(ids, column, strict=True):
            qrels[key].update(documents[text])
    return qrels


def grades(path: Path, columns: int | None = None) -> Iterator[tuple[str, str, str, int]]:
    """The judgments of a file of TREC's four columns or BEIR's three, each with its place for error messages: place,
    query, document, grade. Without `columns` the first line says how many there are. Raises `BenchError` for a line
    that is none.
    """
    for number, line in enumerate(lines(path), start=1):
        place, cells = f"{path}: line {number}", line.split()
        if not cells or (number == 1 and cells == BEIR_HEADER):
            continue
        if columns is None and len(cells) in (3, 4):
            columns = len(cells)
        if len(cells) != columns:
            raise BenchError(f"{place}: {len(cells)} columns instead of {columns or '3 or 4'}")
        query, document, grade = cells[0], cells[-2], cells[-1]
        if not re.fullmatch(r"[+-]?\d+", grade):
            raise BenchError(f"{place}: the grade '{grade}' is no whole number")
        yield place, query, document, int(grade)


def keep_grade(qrels: dict[str, dict[str, int]], place: str, query: str, document: str, grade: int) -> None:
    """Add a judgment. Raises `BenchError` if there is another of the same document for the same query."""
    if qrels.setdefault(query, {}).setdefault(document, grade) != grade:
        raise BenchError(f"{place}: the document '{document}' has another grade for the query '{query}' above")


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Grades by query and document, of all queries of a file that have a relevant document.

    Raises `BenchError` if none has.
    """
    qrels: dict[str, dict[str, int]] = {}
    for place, query, document, grade in grades(path):
        keep_grade(qrels, place, query, document, grade)
    kept = {query: judged for query, judged in qrels.items() if any(grade > 0 for grade in judged.values())}
    if not kept:
        raise BenchError(f"{path} has no relevant document for any query")
    return kept
