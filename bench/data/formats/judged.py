"""Queries, a corpus and judgments in three files, as BEIR and TREC lay them out; the corpus stays on the disk."""

from __future__ import annotations

import codecs
import html
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.formats.judgments import grades, keep_grade
from bench.data.formats.lazy import LazyTexts
from bench.data.formats.source import Source
from bench.data.formats.text import json_object, read, text_of
from bench.errors import BenchError

IDS = ("_id", "id", "docid", "docno")
TEXTS = ("text", "contents")

_TOPIC = re.compile(r"<top>(.*?)</top>", re.DOTALL | re.IGNORECASE)
_TOPIC_FIELD = r"<{}>\s*(?:{}:)?(.*?)(?=<|\Z)"


def beir(source: Source, pair: Pair) -> TestCollection:
    """The files `queries` and `documents` in JSON Lines (`_id`, `text`, perhaps `title`), and `qrels` with three
    columns: query, document, grade. BEIR's header line may be there or not.
    """
    return _test(source, pair, columns=3)


def trec(source: Source, pair: Pair) -> TestCollection:
    """The files `queries` (lines of id, tab, text; JSON Lines; or TREC's <top> with <num> and <title>), `documents`
    (lines of id, tab, text; or JSON Lines) and `qrels` with four columns: query, anything, document, grade.
    """
    return _test(source, pair, columns=4)


def judged_test(
    source: Source,
    pair: Pair,
    queries: Mapping[str, str],
    corpus: tuple[tuple[str, ...], Sequence[str]],
    qrels: Mapping[str, Mapping[str, int]],
    oracles: Mapping[str, str] | None = None,
) -> TestCollection:
    """The test of those queries to which a document of the corpus (ids and texts) is judged relevant.

    Raises BenchError if there are none, or one of them lacks its oracle.
    """
    ids, documents = corpus
    known = set(ids)
    kept = [
        key for key in queries if any(grade > 0 and document in known for document, grade in qrels.get(key, {}).items())
    ]
    if not kept:
        raise BenchError(f"{source.name} {pair}: no document is judged relevant to any query")
    if without := [key for key in kept if oracles is not None and not oracles.get(key)]:
        raise BenchError(f"{source.name} {pair}: the query '{without[0]}' has no oracle query")
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
    )


def _test(source: Source, pair: Pair, columns: int) -> TestCollection:
    """Raises BenchError, naming file and line, for what is malformed, for an id that occurs twice, and for a judgment
    on a query or document that there is not.
    """
    queries: dict[str, str] = {}
    path = source.one("queries")
    for place, key, text in _topics(path):
        if key in queries:
            raise BenchError(f"{place}: the id '{key}' occurs twice")
        queries[key] = text
    if not queries:
        raise BenchError(f"{path}: no <top> with a <num>")
    ids, documents = _corpus(source.one("documents"))
    qrels = _qrels(source, columns, queries.keys(), frozenset(ids))
    return judged_test(source, pair, queries, (ids, documents), qrels)


def _topics(path: Path) -> Iterator[tuple[str, str, str]]:
    """The place, id and text of each query."""
    text = read(path)
    if not text.lstrip().startswith("<"):
        yield from ((place, key, query) for place, _, key, query in _rows(path))
        return
    for topic in _TOPIC.finditer(text):
        place = f"{path}: line {text.count(chr(10), 0, topic.start()) + 1}"
        yield place, _field("num", "number", topic[1], place), _field("title", "topic", topic[1], place)


def _field(tag: str, label: str, topic: str, place: str) -> str:
    """A field of a TREC topic, without the label that old ones repeat, as in "<num> Number: 301"."""
    found = re.search(_TOPIC_FIELD.format(tag, label), topic, re.DOTALL | re.IGNORECASE)
    value = " ".join(html.unescape(found[1]).split()) if found else ""
    if not value:
        raise BenchError(f"{place}: a topic without <{tag}>")
    return value


def _corpus(path: Path) -> tuple[tuple[str, ...], LazyTexts]:
    """Ids and texts of the documents. The file is read once, and then again wherever a text is asked for."""
    seen: set[str] = set()
    ids: list[str] = []
    offsets = array("q")
    for place, offset, key, _ in _rows(path):
        if key in seen:
            raise BenchError(f"{place}: the id '{key}' occurs twice")
        seen.add(key)
        ids.append(key)
        offsets.append(offset)

    def texts(start: int, stop: int) -> Iterator[str]:
        with path.open("rb") as file:
            for offset in offsets[start:stop]:
                file.seek(offset)
                yield _row(file.readline().decode("utf-8"), f"{path}: byte {offset}")[1]

    return tuple(ids), LazyTexts(len(ids), texts)


def _rows(path: Path) -> Iterator[tuple[str, int, str, str]]:
    """The place, offset in bytes, id and text of each line that is not blank; there is at least one."""
    offset, empty = 0, True
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            start, offset = offset, offset + len(line)
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                start, line = len(codecs.BOM_UTF8), line.removeprefix(codecs.BOM_UTF8)
            place = f"{path}: line {number}"
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise BenchError(f"{place}: not UTF-8") from error
            if text.strip():
                empty = False
                yield place, start, *_row(text, place)
    if empty:
        raise BenchError(f"{path} is empty")


def _row(line: str, place: str) -> tuple[str, str]:
    """The id and the text, after its title if it has one, of a line of JSON or of two columns with a tab between."""
    if not line.startswith("{"):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 2:
            raise BenchError(f"{place}: {len(cells)} columns instead of two with a tab between, an id and a text")
        key, text = cells
        parts = [text.strip()] if text.strip() else []
    else:
        row = json_object(line, place)
        key = str(_first(row, IDS, "id", place))
        _first(row, TEXTS, "text", place)
        parts = [text_of(row, name, place) for name in ("title", *TEXTS) if row.get(name)]
    if not parts:
        raise BenchError(f"{place}: the text is empty")
    return key, " ".join(parts)


def _first(row: Mapping[str, Any], names: Sequence[str], what: str, place: str) -> Any:
    found = next((name for name in names if name in row), None)
    if found is None or not isinstance(row[found], str | int):
        raise BenchError(f"{place}: no {what} under {' or '.join(names)}")
    return row[found]


def _qrels(
    source: Source, columns: int, queries: AbstractSet[str], documents: AbstractSet[str]
) -> dict[str, dict[str, int]]:
    """Grades by query and document."""
    path = source.one("qrels")
    qrels: dict[str, dict[str, int]] = {}
    for place, query, document, grade in grades(path, columns):
        if query not in queries:
            raise BenchError(f"{place}: the query '{query}' is not in {source.one('queries')}")
        if document not in documents:
            raise BenchError(f"{place}: the document '{document}' is not in {source.one('documents')}")
        keep_grade(qrels, place, query, document, grade)
    return qrels
