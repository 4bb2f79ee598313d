"""Shared parts of parsers: the files of a card, strict readers of columns, JSON Lines and XML, and lazy texts.

A malformed file raises `BenchError`, which names the file and the line.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from gzip import GzipFile
from pathlib import Path
from typing import IO, Any, TypeVar
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from pydantic import BaseModel, ConfigDict

from bench.errors import BenchError, pip_install
from bench.storage.reading import DEEPEST, LARGEST_FILE, LONGEST_LINE, opened, parse_json, placed_lines

T = TypeVar("T")
Row = tuple[str, str, str]
"""Two texts of bitext or of a judgment, and their place in the files."""

LONGEST = 1 << 20
"""Maximum of characters of a text."""
PARQUET = b"PAR1"
"""The beginning of a Parquet file."""
CHUNK = 1 << 16
"""Bytes of XML that are parsed at once."""


class FormatOptions(BaseModel):
    """The base of the options that a card gives to a format. Docstrings of fields are their texts in the docs."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
    """Return texts by numbers from 1 on, with leading zeros, so that ids sort by number."""
    texts = list(texts)
    width = len(str(len(texts)))
    return {f"{prefix}{number:0{width}d}": text for number, text in enumerate(texts, start=1)}


def add_new(values: dict[str, T], key: str, value: T, place: str) -> None:
    """Add the value of an id. Raises `BenchError` if the id occurs twice."""
    if key in values:
        raise BenchError(f"{place}: the id '{key}' occurs twice")
    values[key] = value


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
    """Yield the place and the object of each line of a JSON Lines file, or of each row of a Parquet file."""
    with opened(path) as file:
        parquet = file.read(len(PARQUET)) == PARQUET
    if parquet:
        yield from _parquet_rows(path)
    else:
        yield from ((place, json_object(line, place)) for place, _, line in placed_lines(path) if line.strip())


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise BenchError(f"{path} is Parquet, which needs pyarrow: {pip_install('parquet')}") from error
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (ArrowException, OSError) as error:
        raise BenchError(f"{path} cannot be read after row {number}: {error}".replace("\n", " ")) from error


def json_object(line: str, place: str) -> Mapping[str, Any]:
    """Return the JSON object in a line."""
    row = parse_json(line, place)
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
    return value


def elements(path: Path, file: IO[bytes] | GzipFile, tag: str) -> Iterator[Element]:
    """Yield the XML elements of a name; nothing else stays in memory. XML entities are refused."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    target = _Elements(tag)
    parser = DefusedXMLParser(target=target)
    size = without = 0
    try:
        while chunk := file.read(CHUNK):
            size, without = size + len(chunk), without + len(chunk)
            if size > LARGEST_FILE:
                raise BenchError(f"{path}: more than {LARGEST_FILE:,} bytes of XML")
            if without > LONGEST_LINE:  # the parser needs time that is quadratic in the length of a tag
                raise BenchError(f"{path}: more than {LONGEST_LINE:,} bytes of XML without the end of a <{tag}>")
            parser.feed(chunk)
            if found := target.take():
                without = 0
                yield from found
        parser.close()
        yield from target.take()
    except BenchError:
        raise
    except ParseError as error:
        reason = str(error).partition(":")[0]  # the rest repeats the position
        raise BenchError(f"{path}: line {error.position[0]} of its XML: {reason}") from error
    except DefusedXmlException as error:
        raise BenchError(f"{path}: XML entities are not supported: {error}") from error
    except (ValueError, LookupError) as error:  # of the encoding, or of the limits
        raise BenchError(f"{path}: not readable XML: {error}") from error


class _Elements:
    """The target of an XML parser, which collects the elements of one name."""

    def __init__(self, tag: str) -> None:
        self._tag, self._found = tag, list[Element]()
        self._builder: TreeBuilder | None = None
        self._depth = self._start = self._size = 0

    def take(self) -> list[Element]:
        """Return the elements that ended since the last call."""
        found, self._found = self._found, []
        return found

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        if self._builder is None and tag == self._tag:
            self._builder, self._start, self._size = TreeBuilder(), self._depth, 0
        if self._builder is not None:
            self._grow(64 + sum(map(len, attributes.values())))  # an element takes as much memory as a short text
            self._builder.start(tag, attributes)

    def data(self, text: str) -> None:
        if self._builder is not None:
            self._grow(len(text))
            self._builder.data(text)

    def end(self, tag: str) -> None:
        if self._builder is not None:
            self._builder.end(tag)
            if self._depth == self._start:
                self._found.append(self._builder.close())
                self._builder = None
        self._depth -= 1

    def close(self) -> None:
        """End the document; the parser calls it."""

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LONGEST_LINE:
            raise ValueError(f"a <{self._tag}> of more than {LONGEST_LINE:,} characters")


def text_inside(path: Path, element: Element) -> str:
    """Return all text of an XML element, with single spaces."""
    text = " ".join("".join(element.itertext()).split())
    if len(text) > LONGEST:
        raise BenchError(f"{path}: a <{element.tag}> of {len(text):,} characters; the maximum is {LONGEST:,}")
    return text
