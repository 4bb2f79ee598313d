"""The layouts of BEIR and TREC: queries, a corpus and qrels in three files. The corpus stays on disk."""

import html
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import judged_test, read_qrels
from bench.data.formats.reading import LazyTexts, Source, add_new, json_object, placed_lines, read, text_of
from bench.errors import BenchError

IDS = ("_id", "id", "docid", "docno")
TEXTS = ("text", "contents")


def beir(source: Source, pair: Pair) -> TestCollection:
    """Parse `queries` and `documents` in JSON Lines (`_id`, `text`, optional `title`) and `qrels` of query, document,
    grade. Raises `BenchError` for a malformed line, a repeated id, and a judgment of an unknown id.
    """
    return _test(source, pair, columns=3)


def trec(source: Source, pair: Pair) -> TestCollection:
    """Parse `queries` (id, tab, text; JSON Lines; or TREC's <top> with <num> and <title>), `documents` (id, tab, text;
    or JSON Lines) and `qrels` with four columns: query, unused, document, grade. Errors are those of `beir`.
    """
    return _test(source, pair, columns=4)


def _test(source: Source, pair: Pair, columns: int) -> TestCollection:
    queries: dict[str, str] = {}
    for place, key, text in _topics(source.one("queries")):
        add_new(queries, key, text, place)
    ids, documents = _corpus(source.one("documents"))
    qrels = read_qrels(source.one("qrels"), columns, queries, frozenset(ids))
    return judged_test(source, pair, queries, ids, documents, qrels)


def _topics(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, id and text of each query."""
    text = read(path)
    if not text.lstrip().startswith("<"):
        yield from ((place, key, query) for place, _, key, query in _rows(path))
        return
    topics = list(re.finditer(r"<top>(.*?)</top>", text, re.DOTALL | re.IGNORECASE))
    if not topics:
        raise BenchError(f"{path}: no <top> with a <num>")
    for topic in topics:
        place = f"{path}: line {text.count(chr(10), 0, topic.start()) + 1}"
        yield place, _field("num", "number", topic[1], place), _field("title", "topic", topic[1], place)


def _field(tag: str, label: str, topic: str, place: str) -> str:
    """Return a field of a TREC topic without the label of old topics, as in "<num> Number: 301"."""
    found = re.search(rf"<{tag}>\s*(?:{label}:)?(.*?)(?=<|\Z)", topic, re.DOTALL | re.IGNORECASE)
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
                yield _row(file.readline().decode("utf-8").rstrip("\r\n"), f"{path}: byte {offset}")[1]

    return ids, LazyTexts(len(ids), texts)


def _rows(path: Path) -> Iterator[tuple[str, int, str, str]]:
    """Yield the place, offset in bytes, id and text of each line that is not blank."""
    for place, offset, line in placed_lines(path):
        if line.strip():
            yield place, offset, *_row(line, place)


def _row(line: str, place: str) -> tuple[str, str]:
    """Return the id and the text, after its title if it has one, of a JSON line or of two tab-separated columns."""
    if line.startswith("{"):
        row = json_object(line, place)
        ids = [str(row[name]) for name in IDS if isinstance(row.get(name), str | int)]
        for kind, names, found in (("id", IDS, ids), ("text", TEXTS, row.keys() & set(TEXTS))):
            if not found:
                raise BenchError(f"{place}: no {kind} under {' or '.join(names)}")
        key, text = ids[0], " ".join(text_of(row, name, place) for name in ("title", *TEXTS) if row.get(name))
    else:
        cells = line.split("\t")
        if len(cells) != 2:
            raise BenchError(f"{place}: {len(cells)} columns instead of two with a tab between, an id and a text")
        key, text = cells[0], cells[1].strip()
    if not text:
        raise BenchError(f"{place}: the text is empty")
    return key, text
