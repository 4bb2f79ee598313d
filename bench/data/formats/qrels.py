"""Qrels: files of judgments, judgments of equal queries, and the test collection of the judged queries."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.formats.reading import Source
from bench.data.formats.records import kind_of, records
from bench.errors import BenchError
from bench.storage.reading import placed_lines

LARGEST_GRADE = 10_000
"""The largest grade: trec_eval makes a table of all grades, and above 2,147,483,647 it computes nonsense."""
BEIR_HEADER = ["query-id", "corpus-id", "score"]
Qrels = dict[str, dict[str, int]]
"""Grades by query id and document id."""


def judge_alike(ids: Iterable[str], relevant: Sequence[str], *columns: Sequence[str]) -> Qrels:
    """Return qrels in which queries with an equal text share their relevant documents.

    The columns have texts of the queries, in the order of `ids`.
    """
    qrels: Qrels = {key: {document: 1} for key, document in zip(ids, relevant, strict=True)}
    for column in columns:
        documents: Qrels = {}
        for text, document in zip(column, relevant, strict=True):
            documents.setdefault(text, {})[document] = 1
        for judged, text in zip(qrels.values(), column, strict=True):
            judged.update(documents[text])
    return qrels


def read_qrels(path: Path, columns: int | None = None) -> Qrels:
    """Return the grades of all judged queries, from TREC's four columns or BEIR's three (by default as in the first
    line), or from the lists of the NPL collection (Vaswani). Raises `BenchError` for a malformed line, two grades of
    one document, and if no query has a relevant document.
    """
    qrels: Qrels = {}
    for place, query, document, grade in _judgments(path, columns):
        if not re.fullmatch("[+-]?[0-9]+", grade):
            raise BenchError(f"{place}: the grade '{grade}' is no whole number")
        if len(grade.lstrip("+-0")) > len(str(LARGEST_GRADE)) or abs(int(grade)) > LARGEST_GRADE:
            raise BenchError(f"{place}: the grade is larger than {LARGEST_GRADE:,}")
        if qrels.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
            raise BenchError(f"{place}: the document '{document}' has another grade for the query '{query}' above")
    if not any(grade > 0 for judged in qrels.values() for grade in judged.values()):
        raise BenchError(f"{path} has no relevant document for any query")
    return qrels


def _judgments(path: Path, columns: int | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield the place, query, document and grade of each judgment."""
    if columns is None and kind_of(path) == "npl":
        for place, _, text in records(path):
            query, *documents = text.split()
            for document in documents:
                yield place, query, document, "1"
        return
    for number, (place, _, line) in enumerate(placed_lines(path)):
        cells = line.split()
        if number == 0 and cells == BEIR_HEADER:
            columns = columns or len(cells)
            continue
        if not cells:
            continue
        if columns is None and len(cells) in (3, 4):
            columns = len(cells)
        if len(cells) != columns:
            raise BenchError(f"{place}: {len(cells)} columns instead of {columns or '3 or 4'}")
        yield place, cells[0], cells[-2], cells[-1]


def make_test(
    source: Source,
    pair: Pair,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    **more: Any,
) -> TestCollection:
    """Return the test collection of queries and documents by id; `more` are further fields of it."""
    texts = tuple(queries.values()), tuple(documents.values())
    return TestCollection(source.name, pair, tuple(queries), texts[0], tuple(documents), texts[1], qrels, **more)


def judged_test(
    source: Source,
    pair: Pair,
    queries: Mapping[str, str],
    ids: tuple[str, ...],
    documents: Sequence[str],
    qrels: Mapping[str, Mapping[str, int]],
    oracles: Mapping[str, str] | None = None,
    empty: int = 0,
) -> TestCollection:
    """Return the test of the queries with a relevant document; `empty` is the number of empty documents. Judgments of
    other queries and documents are counted. Raises `BenchError` for no query or a missing oracle.
    """
    known = set(ids)
    kept = [
        key for key in queries if any(grade > 0 and document in known for document, grade in qrels.get(key, {}).items())
    ]
    if not kept:
        raise BenchError(f"{source.name} {pair}: no document is judged relevant to any query")
    if without := [key for key in kept if oracles is not None and not oracles.get(key)]:
        raise BenchError(f"{source.name} {pair}: the query '{without[0]}' has no oracle query")
    counts = {
        "judged queries are not in the collection; they do not count": len(qrels.keys() - queries.keys()),
        "judged documents are not in the collection, so that no run can find them": len(
            {document for key in kept for document in qrels[key]} - known
        ),
        "documents are empty": empty,
    }
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=tuple(kept),
        queries=tuple(queries[key] for key in kept),
        document_ids=ids,
        documents=documents,
        qrels={key: qrels[key] for key in kept},
        oracle_queries=tuple(oracles[key] for key in kept) if oracles is not None else None,
        left_out=len(queries) - len(kept),
        remarks=tuple(f"{count:,} {text}" for text, count in counts.items() if count),
    )
