"""Tools that all parsers share: the files of a card, strict readers of text, JSON Lines and XML, and lazy texts.

A malformed file raises `BenchError`, which names the file and the line.
"""

import gzip
import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, TypeVar
from xml.etree.ElementTree import Element, ParseError

from bench.errors import BenchError

T = TypeVar("T")
Row = tuple[str, str, str]
"""Two texts of bitext or of a judgment, and their place in the files."""

GZIP = b"\x1f\x8b"
"""The first bytes of a gzipped file."""
LONGEST = 1 << 20
"""The maximum of characters of a text; no sentence or passage is as long."""
LONGEST_LINE = LONGEST << 3
"""The maximum of bytes of a line, which may have a text with escapes."""


@dataclass(frozen=True)
class Source:
    """The files of a collection for one pair or language, by the names that the format gives them."""

    name: str
    files: Mapping[str, tuple[Path, ...]]
    codes: Mapping[str, str] = field(default_factory=dict)
    """The language codes of the files, by canonical language, where they differ."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def code(self, language: str) -> str:
        """Return the code of a canonical language in the files."""
        return self.codes.get(language, language)

    def many(self, part: str) -> tuple[Path, ...]:
        """Return the files of a name. Raises `BenchError` if the card names none."""
        if not self.files.get(part):
            raise BenchError(f"{self.name}: the card names no files under '{part}', which its format needs")
        return self.files[part]

    def one(self, part: str) -> Path:
        """Return the only file of a name. Raises `BenchError` if the card names none or several."""
        paths = self.many(part)
        if len(paths) > 1:
            raise BenchError(f"{self.name}: the card names {len(paths)} files under '{part}'; its format takes one")
        return paths[0]


class LazyTexts(Sequence[str]):
    """Texts that are read from disk on access, consecutive rows by `read(start, stop)`; a slice is a list."""

    def __init__(self, length: int, read: Callable[[int, int], Iterable[str]]) -> None:
        self._rows, self._read = range(length), read

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read(0, len(self)))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int):
            row = self._rows[key]
            return next(iter(self._read(row, row + 1)))
        rows = self._rows[key]
        return list(self._read(rows.start, rows.stop)) if rows.step == 1 and rows else [self[row] for row in rows]


def numbered(texts: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Return texts by their numbers from 1 on, with leading zeros: the lexical order of ids is the numerical one."""
    texts = list(texts)
    width = len(str(len(texts)))
    return {f"{prefix}{number:0{width}d}": text for number, text in enumerate(texts, start=1)}


def add_new(values: dict[str, T], key: str, value: T, place: str) -> None:
    """Add the value of an id. Raises `BenchError` if the id occurs twice."""
    if key in values:
        raise BenchError(f"{place}: the id '{key}' occurs twice")
    values[key] = value


def read(path: Path) -> str:
    """Return the text of a UTF-8 file without its byte order mark."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BenchError(f"{path}: line {line}: not UTF-8") from error
    if not text.strip():
        raise BenchError(f"{path} is empty")
    return text


def placed_lines(path: Path, start: int = 0) -> Iterator[tuple[str, int, str]]:
    """Yield the place (file and line number, for error messages), the offset in bytes and the text of each line of a
    UTF-8 file, perhaps gzipped, from the offset `start` on. Only LF and CRLF end a line: `str.splitlines` would also
    split at U+2028 inside sentences.
    """
    number, offset, empty = 0, start, True
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        file: BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        _unpacked(path, lambda: file.seek(start))
        while data := _unpacked(path, lambda: file.readline(LONGEST_LINE + 1)):
            number += 1
            place = f"{path}: line {number}"
            if len(data) > LONGEST_LINE:
                raise BenchError(f"{place}: longer than {LONGEST_LINE:,} bytes, the maximum for a line of text")
            if offset == 0 and data.startswith(BOM_UTF8):
                offset, data = len(BOM_UTF8), data.removeprefix(BOM_UTF8)
            try:
                line = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise BenchError(f"{place}: not UTF-8") from error
            empty = empty and not line.strip()
            yield place, offset, line
            offset += len(data)
    if empty:
        raise BenchError(f"{path} is empty")


def _unpacked(path: Path, read: Callable[[], T]) -> T:
    """Return what `read` returns. Raises `BenchError` if it finds a damaged gzip archive."""
    try:
        return read()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise BenchError(f"{path} is damaged: {error}") from error


def lines(path: Path) -> list[str]:
    """Return the text of each line."""
    return [line for _, _, line in placed_lines(path)]


def rows(path: Path, *columns: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the cells of each line of a tab-separated file. Every cell must have text."""
    for place, _, line in placed_lines(path):
        cells = line.split("\t")
        if len(cells) != len(columns) or not all(cell.strip() for cell in cells):
            raise BenchError(f"{place}: expected {' <tab> '.join(columns)}")
        yield place, cells


def json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place and the object of each line of a JSON Lines file."""
    return ((place, json_object(line, place)) for place, _, line in placed_lines(path) if line.strip())


def json_object(line: str, place: str) -> Mapping[str, Any]:
    """Return the JSON object in a line."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{place}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise BenchError(f"{place}: not a JSON object")
    return row


def text_of(row: Any, key: str, place: str) -> str:
    """Return the text under a key of a JSON object, which must not be blank."""
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise BenchError(f"{place}: no text under '{key}'")
    if len(value) > LONGEST:
        raise BenchError(f"{place}: {len(value):,} characters under '{key}'; the maximum is {LONGEST:,}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BenchError(f"{place}: half of a surrogate pair under '{key}', which UTF-8 cannot encode") from error
    return value


def elements(path: Path, file: IO[bytes], tag: str) -> Iterator[Element]:
    """Yield the XML elements of a name. Each is emptied before the next. XML entities are refused."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    try:
        for _, element in iterparse(file):
            if element.tag == tag:
                yield element
                element.clear()
    except ParseError as error:
        reason = str(error).partition(":")[0]  # the rest repeats the position
        raise BenchError(f"{path}: line {error.position[0]} of its XML: {reason}") from error
    except DefusedXmlException as error:
        raise BenchError(f"{path}: it declares XML entities, which are refused: {error}") from error
    except (ValueError, LookupError) as error:  # from its encoding
        raise BenchError(f"{path}: not readable XML: {error}") from error


def text_inside(path: Path, element: Element) -> str:
    """Return all text of an XML element, with single spaces."""
    text = " ".join("".join(element.itertext()).split())
    if len(text) > LONGEST:
        raise BenchError(f"{path}: a <{element.tag}> of {len(text):,} characters; the maximum is {LONGEST:,}")
    return text
