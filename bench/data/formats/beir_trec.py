"""The layouts of BEIR and TREC: queries, a corpus and qrels in three files. The corpus stays on disk."""

from __future__ import annotations

import codecs
import html
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import Qrels, add_grade, grades, judged_test
from bench.data.formats.reading import LazyTexts, Source, add_new, json_object, read, text_of
from bench.errors import BenchError

IDS = ("_id", "id", "docid", "docno")
TEXTS = ("text", "contents")

_TOPIC = re.compile(r"<top>(.*?)</top>", re.DOTALL | re.IGNORECASE)
_TOPIC_FIELD = r"<{}>\s*(?:{}:)?(.*?)(?=<|\Z)"


def beir(source: Source, pair: Pair) -> TestCollection:
    """Parse `queries` and `documents` in JSON Lines (`_id`, `text`, optional `title`) and `qrels` with three columns:
    query, document, grade, with or without BEIR's header line.

    Raises `BenchError` for a malformed line, a repeated id, and a judgment of an unknown query or document.
    """
    return _test(source, pair, columns=3)


def trec(source: Source, pair: Pair) -> TestCollection:
    """Parse `queries` (id, tab, text; JSON Lines; or TREC's <top> with <num> and <title>), `documents` (id, tab, text;
    or JSON Lines) and `qrels` with four columns: query, unused, document, grade. Errors are those of `beir`.
    """
    return _test(source, pair, columns=4)


def _test(source: Source, pair: Pair, columns: int) -> TestCollection:
    queries: dict[str, str] = {}
    path = source.one("queries")
    for place, key, text in _topics(path):
        add_new(queries, key, text, place)
    if not queries:
        raise BenchError(f"{path}: no <top> with a <num>")
    ids, documents = _corpus(source.one("documents"))
    known = frozenset(ids)
    qrels: Qrels = {}
    for judgment in grades(source.one("qrels"), columns):
        place, query, document, _ = judgment
        if query not in queries:
            raise BenchError(f"{place}: the query '{query}' is not in {path}")
        if document not in known:
            raise BenchError(f"{place}: the document '{document}' is not in {source.one('documents')}")
        add_grade(qrels, *judgment)
    return judged_test(source, pair, queries, (ids, documents), qrels)


def _topics(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, id and text of each query."""
    text = read(path)
    if not text.lstrip().startswith("<"):
        yield from ((place, key, query) for place, _, key, query in _rows(path))
        return
    for topic in _TOPIC.finditer(text):
        place = f"{path}: line {text.count(chr(10), 0, topic.start()) + 1}"
        yield place, _field("num", "number", topic[1], place), _field("title", "topic", topic[1], place)


def _field(tag: str, label: str, topic: str, place: str) -> str:
    """Return a field of a TREC topic without the label of old topics, as in "<num> Number: 301"."""
    found = re.search(_TOPIC_FIELD.format(tag, label), topic, re.DOTALL | re.IGNORECASE)
    value = " ".join(html.unescape(found[1]).split()) if found else ""
    if not value:
        raise BenchError(f"{place}: a topic without <{tag}>")
    return value


def _corpus(path: Path) -> tuple[tuple[str, ...], LazyTexts]:
    """Return the ids and texts of the documents. Texts are read again from the file on access."""
    rows: dict[str, int] = {}
    for place, offset, key, _ in _rows(path):
        add_new(rows, key, offset, place)
    ids, offsets = tuple(rows), array("q", rows.values())

    def texts(start: int, stop: int) -> Iterator[str]:
        with path.open("rb") as file:
            for offset in offsets[start:stop]:
                file.seek(offset)
                yield _row(file.readline().decode("utf-8"), f"{path}: byte {offset}")[1]

    return ids, LazyTexts(len(ids), texts)


def _rows(path: Path) -> Iterator[tuple[str, int, str, str]]:
    """Yield the place, offset in bytes, id and text of each line that is not blank."""
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
    """Return the id and the text, after its title if it has one, of a JSON line or of two tab-separated columns."""
    if line.startswith("{"):
        row = json_object(line, place)
        key = str(_first(row, IDS, "id", place))
        _first(row, TEXTS, "text", place)
        parts = [text_of(row, name, place) for name in ("title", *TEXTS) if row.get(name)]
    else:
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 2:
            raise BenchError(f"{place}: {len(cells)} columns instead of two with a tab between, an id and a text")
        key, text = cells
        parts = [text.strip()] if text.strip() else []
    if not parts:
        raise BenchError(f"{place}: the text is empty")
    return key, " ".join(parts)


def _first(row: Mapping[str, Any], names: Sequence[str], role: str, place: str) -> Any:
    found = next((name for name in names if name in row), None)
    if found is None or not isinstance(row[found], str | int):
        raise BenchError(f"{place}: no {role} under {' or '.join(names)}")
    return row[found]
