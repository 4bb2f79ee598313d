"""Two text files whose lines correspond: a bitext, or a test in which query i asks for line i or its document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.data import Bitext, Pair, TestCollection
from bench.data.formats.judgments import judge_alike
from bench.data.formats.source import Source
from bench.data.formats.text import lines
from bench.errors import BenchError


def bitext(source: Source, pair: Pair) -> Bitext:
    """The bitext of the files `queries` and `documents`; raises BenchError if their lengths differ."""
    queries, documents = _read(source)
    return Bitext.of(pair, queries, documents, source.name)


def test(source: Source, pair: Pair) -> TestCollection:
    """The test whose corpus is every line of `documents`, and whose query i has line i as its relevant document.

    Ids are line numbers, zero-padded so that their lexical order is the files' order. There are no oracle
    queries: a query's translation is the very document that it should find.
    """
    queries, documents = _read_whole(source)
    ids = _line_numbers(queries)
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=ids,
        queries=tuple(queries),
        document_ids=ids,
        documents=tuple(documents),
        qrels={key: {key: 1} for key in ids},
    )


def documents_test(source: Source, pair: Pair) -> TestCollection:
    """The test in which query i asks for the document that holds line i of `documents`.

    Line i of the file `document-ids` names the document of line i; a document is its lines, in order, with a space
    between them. The lines themselves are the oracle queries, and queries that read the same, in either language,
    share their documents. Raises BenchError for an empty line, and if the three files differ in length.
    """
    queries, sentences = _read_whole(source)
    path = source.one("document-ids")
    names = lines(path)
    if len(names) != len(sentences):
        raise BenchError(f"{path} has {len(names)} lines, but {source.one('documents')} has {len(sentences)}")
    _refuse_empty(path, names)
    documents: dict[str, list[str]] = {}
    for name, sentence in zip(names, sentences, strict=True):
        documents.setdefault(name, []).append(sentence.strip())
    ids = _line_numbers(queries)
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=ids,
        queries=tuple(queries),
        document_ids=tuple(documents),
        documents=tuple(" ".join(parts) for parts in documents.values()),
        qrels=judge_alike(ids, names, queries, sentences),
        oracle_queries=tuple(sentences),
    )


def _line_numbers(texts: Sequence[str]) -> tuple[str, ...]:
    """Ids whose lexical order is the file's."""
    width = len(str(len(texts)))
    return tuple(f"{number:0{width}d}" for number in range(1, len(texts) + 1))


def _read_whole(source: Source) -> tuple[list[str], list[str]]:
    """Both files, which have a text in every line."""
    queries, documents = _read(source)
    _refuse_empty(source.one("queries"), queries)
    _refuse_empty(source.one("documents"), documents)
    return queries, documents


def _refuse_empty(path: Path, texts: Sequence[str]) -> None:
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise BenchError(f"{path}: line {number}: empty, but a test needs a text in every line")


def _read(source: Source) -> tuple[list[str], list[str]]:
    paths = source.one("queries"), source.one("documents")
    queries, documents = map(lines, paths)
    if len(queries) != len(documents):
        raise BenchError(
            f"{paths[0]} has {len(queries)} lines, but {paths[1]} has {len(documents)}; aligned files have equally many"
        )
    return queries, documents
