"""BUCC's tab-separated files: an id and a sentence per line, and the ids of the gold pairs of translations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.data import Pair, TestCollection
from bench.data.formats.source import Source
from bench.data.formats.text import lines
from bench.errors import BenchError

_Sentences = dict[str, str]


def mining(source: Source, pair: Pair) -> TestCollection:
    """The test in which the pairs of the file `gold` are to be found among all sentences of `queries` and `documents`.

    The first, third, fifth ... sentence of `queries` are those to tune a threshold on, the others the test. Raises
    BenchError for a malformed line, an id that occurs twice, and a gold pair of an unknown sentence.
    """
    queries, documents, gold = _read(source)
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=tuple(queries),
        queries=tuple(queries.values()),
        document_ids=tuple(documents),
        documents=tuple(documents.values()),
        qrels=gold,
        tuning=tuple(queries)[::2],
    )


def retrieval(source: Source, pair: Pair) -> TestCollection:
    """The test whose queries are the sentences of `queries` that are in a gold pair, over all `documents`.

    There are no oracle queries: they would be the documents. Errors are those of `mining`.
    """
    queries, documents, gold = _read(source)
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=tuple(gold),
        queries=tuple(queries[key] for key in gold),
        document_ids=tuple(documents),
        documents=tuple(documents.values()),
        qrels=gold,
    )


def _read(source: Source) -> tuple[_Sentences, _Sentences, dict[str, dict[str, int]]]:
    """The sentences of both languages by id, and the qrels of those in a gold pair, in the order of the file `gold`."""
    queries, documents = _sentences(source.one("queries")), _sentences(source.one("documents"))
    path = source.one("gold")
    gold: dict[str, dict[str, int]] = {}
    for place, query, document in _rows(path, "id <tab> id"):
        for part, key, known in (("queries", query, queries), ("documents", document, documents)):
            if key not in known:
                raise BenchError(f"{place}: {source.one(part)} has no sentence '{key}'")
        gold.setdefault(query, {})[document] = 1
    return queries, documents, gold


def _sentences(path: Path) -> _Sentences:
    sentences: _Sentences = {}
    for place, key, text in _rows(path, "id <tab> sentence"):
        if key in sentences:
            raise BenchError(f"{place}: the id '{key}' occurs twice")
        sentences[key] = text
    return sentences


def _rows(path: Path, columns: str) -> Iterator[tuple[str, str, str]]:
    """The place of every line and its two cells, neither of them empty."""
    for number, line in enumerate(lines(path), start=1):
        cells = line.split("\t")
        if len(cells) != 2 or not all(cell.strip() for cell in cells):
            raise BenchError(f"{path}: line {number}: not {columns}")
        yield f"{path}: line {number}", cells[0], cells[1]
