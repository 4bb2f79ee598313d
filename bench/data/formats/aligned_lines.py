"""Two text files with corresponding lines: a bitext, or a test in which query i searches for line i or its document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.data import Bitext, Pair, TestCollection
from bench.data.formats.qrels import judge_alike, make_test
from bench.data.formats.reading import Source, lines, numbered
from bench.errors import BenchError


def bitext(source: Source, pair: Pair) -> Bitext:
    """Return the bitext of the files `queries` and `documents`. Raises `BenchError` if their lengths differ."""
    queries, documents = _read(source, "queries", "documents")
    return Bitext.of(pair, queries, documents, source.name)


def test(source: Source, pair: Pair) -> TestCollection:
    """Return the test with all lines of `documents` as corpus, in which line i is relevant to query i.

    Ids are line numbers. There are no oracle queries, because they would be the relevant documents.
    """
    queries, documents = _read_test(source, "queries", "documents")
    ids = numbered(range(1, len(queries) + 1), len(queries))
    asked, corpus = (dict(zip(ids, column, strict=True)) for column in (queries, documents))
    return make_test(source, pair, asked, corpus, {key: {key: 1} for key in ids})


def documents_test(source: Source, pair: Pair) -> TestCollection:
    """Return the test in which query i searches for the document that contains line i of `documents`.

    Line i of the file `document-ids` names the document of line i. A document is its lines in order, joined by spaces.
    The lines are the oracle queries. Queries with equal texts, in either language, share their documents. Raises
    `BenchError` for an empty line, and if the three files differ in length.
    """
    queries, sentences, names = _read_test(source, "queries", "documents", "document-ids")
    documents: dict[str, list[str]] = {}
    for name, sentence in zip(names, sentences, strict=True):
        documents.setdefault(name, []).append(sentence.strip())
    ids = numbered(range(1, len(queries) + 1), len(queries))
    asked = dict(zip(ids, queries, strict=True))
    corpus = {name: " ".join(parts) for name, parts in documents.items()}
    qrels = judge_alike(ids, names, queries, sentences)
    return make_test(source, pair, asked, corpus, qrels, oracle_queries=tuple(sentences))


def _read_test(source: Source, *parts: str) -> list[list[str]]:
    files = _read(source, *parts)
    for part, texts in zip(parts, files, strict=True):
        _check_lines(source.one(part), texts)
    return files


def _check_lines(path: Path, texts: Sequence[str]) -> None:
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise BenchError(f"{path}: line {number}: empty, but a test needs a text in every line")


def _read(source: Source, *parts: str) -> list[list[str]]:
    paths = [source.one(part) for part in parts]
    files = [lines(path) for path in paths]
    for path, texts in zip(paths, files, strict=True):
        if len(texts) != len(files[0]):
            raise BenchError(
                f"{paths[0]} has {len(files[0])} lines, but {path} has {len(texts)}; aligned files need as many"
            )
    return files
