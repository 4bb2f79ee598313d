"""The layouts of BEIR and TREC: queries, a corpus and qrels. The corpus, which may be in many files, stays on disk.
`bench.data.formats.records` has the kinds of files.
"""

import html
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import judged_test, read_qrels
from bench.data.formats.reading import LONGEST, LazyTexts, Source, add_new, json_object, text_of
from bench.data.formats.records import Kind, kind_of, records
from bench.errors import BenchError

IDS = ("_id", "id", "docid", "docno")
"""Keys of an id. The first one with a text or a whole number counts."""
TEXTS = ("text", "contents")
"""Keys of a text. The first one with a text counts: in Pyserini's collections, `contents` repeats `title` and `text`.
"""
CONTENT = frozenset(["text", "headline", "title", "hl", "head", "ttl", "dd", "date", "lp", "leadpara"])
"""The elements of a TREC document whose text counts, as in Anserini's TrecCollection. In a document that has none of
them, all text but that of elements such as <DOCNO> counts.
"""
_ELEMENT = re.compile(r"<(/?)([a-z][\w.-]*+)[^<>]*>", re.IGNORECASE)


def beir(source: Source, pair: Pair) -> TestCollection:
    """Parse `queries` and `documents` in JSON Lines (`_id`, `text`, optional `title`) and `qrels` of query, document,
    grade. Raises `BenchError` for a malformed line and a repeated id.
    """
    return _test(source, pair, columns=3)


def trec(source: Source, pair: Pair) -> TestCollection:
    """Parse `queries`, `documents` and `qrels`, the last with four columns (query, unused, document, grade) or three.
    Errors are those of `beir`.
    """
    return _test(source, pair, columns=None)


def _test(source: Source, pair: Pair, columns: int | None) -> TestCollection:
    queries: dict[str, str] = {}
    path = source.one("queries")
    kind = kind_of(path)
    for number, (place, _, record) in enumerate(records(path), start=1):
        key, text = _parsed(kind, record, place)
        if not text:
            raise BenchError(f"{place}: the text is empty")
        # The numbers of Cranfield's queries have gaps, but those of its qrels have none.
        add_new(queries, str(number) if kind == "smart" else key, text, place)
    ids, documents, empty = _corpus(source.many("documents"))
    qrels = read_qrels(source.one("qrels"), columns)
    return judged_test(source, pair, queries, ids, documents, qrels, empty=empty)


def _corpus(paths: Sequence[Path]) -> tuple[tuple[str, ...], LazyTexts, int]:
    """Return the ids and texts of the documents, and the number of empty ones. Texts are read again on access."""
    rows: dict[str, int] = {}
    kinds, first, empty = [kind_of(path) for path in paths], [0], 0
    for path, kind in zip(paths, kinds, strict=True):
        for place, offset, record in records(path):
            key, text = _parsed(kind, record, place)
            add_new(rows, key, offset, place)
            empty += not text
        first.append(len(rows))
    ids, offsets = tuple(rows), array("q", rows.values())

    def texts(start: int, stop: int) -> Iterator[str]:
        while start < stop:
            file = bisect_right(first, start) - 1
            end = min(stop, first[file + 1])
            found = islice(records(paths[file], offsets[start]), end - start)
            yield from (_parsed(kinds[file], record, place)[1] for place, _, record in found)
            start = end

    return ids, LazyTexts(len(ids), texts), empty


def _parsed(kind: Kind, record: str, place: str) -> tuple[str, str]:
    """Return the id and the text of a record; the text of a document may be empty. Raises `BenchError`."""
    parse = {"lines": _line, "marked": _marked, "smart": _smart, "npl": _npl}[kind]
    key, text = parse(record, place)
    if len(text) > LONGEST:
        raise BenchError(f"{place}: a text of {len(text):,} characters; the maximum is {LONGEST:,}")
    return key, text


def _line(line: str, place: str) -> tuple[str, str]:
    """Parse a JSON object or two tab-separated columns. In JSON, the text follows the title."""
    if not line.lstrip().startswith("{"):
        cells = line.split("\t")
        if len(cells) != 2:
            expected = "an id and a text with a tab between, or a JSON object in one line"
            raise BenchError(f"{place}: {len(cells)} columns instead of two; expected {expected}")
        return cells[0], cells[1].strip()
    row = json_object(line, place)
    key = next((str(row[name]) for name in IDS if type(row.get(name)) in (str, int)), None)
    if key is None:
        raise BenchError(f"{place}: no id under {' or '.join(IDS)}")
    if not row.keys() & set(TEXTS):
        raise BenchError(f"{place}: no text under {' or '.join(TEXTS)}")
    title, text = (next(filter(None, (_text(row, name, place) for name in names)), "") for names in (["title"], TEXTS))
    return key, " ".join(filter(None, (title, text)))


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    """Return the text under a key, which may be missing, null or blank."""
    value = row.get(name)
    return "" if value is None or (isinstance(value, str) and not value.strip()) else text_of(row, name, place)


def _marked(markup: str, place: str) -> tuple[str, str]:
    """Parse a document or a topic of TREC."""
    if not re.match("<doc", markup, re.IGNORECASE):
        number = re.match(r"<topic\s[^>]*\bnumber=[\"']?([^\"'\s>]+)", markup, re.IGNORECASE)
        key = number[1] if number else _field("num", "number", markup, place)
        return key, _field("title|query", "topic", markup, place)
    before, *pieces = _ELEMENT.split(markup)
    key, depth, has_content = "", 0, False
    content, everything = list[str](), [before]
    for closing, name, text in zip(pieces[::3], map(str.lower, pieces[1::3]), pieces[2::3], strict=True):
        if name in CONTENT:
            depth, has_content = max(depth + (-1 if closing else 1), 0), True
        if name == "docno" and not closing:
            if key not in ("", text.strip()):
                raise BenchError(f"{place}: a document with two <DOCNO>, {key} and {text.strip()}")
            key = text.strip()
        elif closing or name == "doc" or not name.startswith("doc"):
            (content if depth else everything).append(text)
    if not key:
        raise BenchError(f"{place}: a document without <DOCNO>")
    return key, " ".join(html.unescape(" ".join(content if has_content else everything)).split())


def _field(tag: str, label: str, topic: str, place: str) -> str:
    """Return a field of a TREC topic without the label of old topics, as in "<num> Number: 301"."""
    found = re.search(rf"<(?:{tag})>\s*(?:{label}:)?(.*?)(?=<|\Z)", topic, re.DOTALL | re.IGNORECASE)
    value = " ".join(html.unescape(found[1]).split()) if found else ""
    if not value:
        raise BenchError(f"{place}: a topic without <{tag.partition('|')[0]}>")
    return value


def _smart(record: str, place: str) -> tuple[str, str]:
    """Parse the fields .T (title) and .W (words)."""
    key, texts, field = "", list[str](), ""
    for line in record.split("\n"):
        if match := re.match(r"\.([A-Z])(?:\s+(.*))?$", line):
            field = match[1]
            key = (match[2] or "").strip() if field == "I" else key
        elif field in ("T", "W"):
            texts.append(line)
    if not key:
        raise BenchError(f"{place}: .I without an id")
    return key, " ".join(" ".join(texts).split())


def _npl(record: str, place: str) -> tuple[str, str]:
    """Parse an id and the lines of a text."""
    key, _, text = record.partition("\n")
    return key.strip(), " ".join(text.split())
