"""Two text files whose lines correspond: a bitext, or a test in which query i asks for line i."""

from __future__ import annotations

from bench.data import Bitext, Pair, TestCollection
from bench.data.formats.source import Source
from bench.data.formats.text import lines
from bench.errors import BenchError


def bitext(source: Source, pair: Pair) -> Bitext:
    """The bitext of the files `queries` and `documents`; raises BenchError if their lengths differ."""
    queries, documents = _read(source)
    return Bitext(tuple(queries), tuple(documents), (source.name,) * len(queries))


def test(source: Source, pair: Pair) -> TestCollection:
    """The test whose corpus is every line of `documents`, and whose query i has line i as its relevant document.

    Ids are line numbers, zero-padded so that their lexical order is the files' order. There are no oracle
    queries: a query's translation is the very document that it should find.
    """
    queries, documents = _read(source)
    for part, texts in (("queries", queries), ("documents", documents)):
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise BenchError(f"{source.one(part)}: line {number}: empty, but a test needs a text in every line")
    width = len(str(len(queries)))
    ids = tuple(f"{number:0{width}d}" for number in range(1, len(queries) + 1))
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=ids,
        queries=tuple(queries),
        document_ids=ids,
        documents=tuple(documents),
        qrels={key: {key: 1} for key in ids},
    )


def _read(source: Source) -> tuple[list[str], list[str]]:
    paths = source.one("queries"), source.one("documents")
    queries, documents = map(lines, paths)
    if len(queries) != len(documents):
        raise BenchError(
            f"{paths[0]} has {len(queries)} lines, but {paths[1]} has {len(documents)}; aligned files have equally many"
        )
    return queries, documents
