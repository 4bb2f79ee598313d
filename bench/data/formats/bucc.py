"""BUCC's tab-separated files: an id and a sentence per line, and the ids of the gold pairs of translations."""

from __future__ import annotations

from pathlib import Path

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import Qrels, make_test
from bench.data.formats.reading import Source, add_new, rows
from bench.errors import BenchError

_Sentences = dict[str, str]


def mining(source: Source, pair: Pair) -> TestCollection:
    """Return the task to mine the pairs of the file `gold` from all sentences of `queries` and `documents`.

    Every second sentence of `queries`, from the first on, is for tuning the threshold; the others are the test. Raises
    `BenchError` for a malformed line, a repeated id, and a gold pair of an unknown sentence.
    """
    queries, documents, gold = _read(source)
    return make_test(source, pair, queries, documents, gold, tuning=tuple(queries)[::2])


def retrieval(source: Source, pair: Pair) -> TestCollection:
    """Return the test with the sentences of `queries` in a gold pair as queries, and all `documents`.

    There are no oracle queries, because they would be the relevant documents. Errors are those of `mining`.
    """
    queries, documents, gold = _read(source)
    return make_test(source, pair, {key: queries[key] for key in gold}, documents, gold)


def _read(source: Source) -> tuple[_Sentences, _Sentences, Qrels]:
    """Return the sentences of both languages by id, and qrels in the order of the file `gold`."""
    queries, documents = _sentences(source.one("queries")), _sentences(source.one("documents"))
    gold: Qrels = {}
    for place, (query, document) in rows(source.one("gold"), "id", "id"):
        for part, key, known in (("queries", query, queries), ("documents", document, documents)):
            if key not in known:
                raise BenchError(f"{place}: {source.one(part)} has no sentence '{key}'")
        gold.setdefault(query, {})[document] = 1
    return queries, documents, gold


def _sentences(path: Path) -> _Sentences:
    sentences: _Sentences = {}
    for place, (key, text) in rows(path, "id", "sentence"):
        add_new(sentences, key, text, place)
    return sentences
