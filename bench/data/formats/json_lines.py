"""Training data in JSON Lines: translations by language, and queries with their relevant documents."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.data import Pair
from bench.data.formats import reading
from bench.data.formats.reading import FormatOptions, Row, Source, text_of
from bench.errors import BenchError


class Texts(FormatOptions):
    """The keys of the two texts; `translation.sw` is the key `sw` inside the object `translation`."""

    query: str = ""
    """The key of the text in the query language; by default its code."""
    document: str = ""
    """The key of the text in the document language; by default its code."""


def bitext(source: Source, pair: Pair, keys: Texts) -> Iterator[Row]:
    """Yield two texts of each object of the files `rows`. Raises `BenchError` if an object lacks one."""
    query, document = keys.query or source.code(pair.query), keys.document or source.code(pair.document)
    for place, row in _rows(source):
        yield _inner(row, query, place), _inner(row, document, place), place


class Judgments(FormatOptions):
    """The keys of a query and of its relevant documents."""

    query: str = "query"
    """The key of the query."""
    positive: str = "positive"
    """The key of the relevant document, or of a list of them: texts, or objects with `text` and perhaps `title`."""


def relevance(source: Source, pair: Pair, keys: Judgments) -> Iterator[Row]:
    """Yield the query of each object of the files `rows` with each of its relevant documents. Other keys, such as those
    of negatives, are not read. Raises `BenchError` if an object lacks a query or a relevant document.
    """
    for place, row in _rows(source):
        query, found = text_of(row, keys.query, place), row.get(keys.positive)
        documents = found if isinstance(found, list) else [found]
        if not documents:
            raise BenchError(f"{place}: no text under '{keys.positive}'")
        for document in documents:
            yield query, _document(document, keys.positive, place), place


def _rows(source: Source) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return (row for path in source.many("rows") for row in reading.json_lines(path))


def _document(document: Any, key: str, place: str) -> str:
    if not isinstance(document, dict):
        return text_of({key: document}, key, place)
    title = text_of(document, "title", place) if document.get("title") else ""
    return f"{title} {text_of(document, 'text', place)}".lstrip()


def _inner(row: Any, key: str, place: str) -> str:
    """Return the text under a key, or under `outer.inner`. Raises `BenchError` if there is none."""
    outer, dot, inner = key.partition(".")
    return text_of(row.get(outer), inner, place) if dot and key not in row else text_of(row, key, place)
