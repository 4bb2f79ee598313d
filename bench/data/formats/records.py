"""Records of text files, one after another in a file of any size, perhaps gzipped. The kind of a file follows from its
first line:

    lines   a record per line: JSON, or columns separated by tabs
    marked  TREC's <DOC> ... </DOC>, <top> ... </top> and <topic number="..."> ... </topic>
    smart   .I and an id, then fields such as .T and .W (Cranfield, CACM)
    npl     an id, lines of text, and a line with a slash (Vaswani)

The readers of ir_datasets are not used, since they skip a document without a final newline, and their errors have no
line.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from bench.errors import BenchError
from bench.storage.reading import LONGEST_LINE, placed_lines

Kind = Literal["lines", "marked", "smart", "npl"]
Line = tuple[str, int, str]
"""A place (file and line number, for error messages), the offset in bytes, and the text that begins there."""

_TAG = re.compile(r"<(/?)(doc|top|topic)(?=[\s>])[^<>]*>", re.IGNORECASE)


def kind_of(path: Path) -> Kind:
    """Return the kind of a file. Raises `BenchError` if it is empty."""
    first = next(line for _, _, line in placed_lines(path) if line.strip())
    if first.lstrip().startswith("<"):
        return "marked"
    if re.match(r"\.I\s", first):
        return "smart"
    return "npl" if first.strip().isdecimal() else "lines"


def records(path: Path, start: int = 0) -> Iterator[Line]:
    """Yield each record of a file from an offset on. Raises `BenchError` for a record that does not end."""
    kind = kind_of(path)
    lines = placed_lines(path, start)
    if kind == "lines":
        return (line for line in lines if line[2].strip())
    return {"marked": _marked, "smart": _smart, "npl": _npl}[kind](lines)


def _marked(lines: Iterable[Line]) -> Iterator[Line]:
    name, start, place, parts = "", ("", 0), "", _Parts("")
    for place, offset, line in lines:
        position = before = 0
        for tag in _TAG.finditer(line):
            kind = tag[2].lower()
            offset += len(line[before : tag.start()].encode())
            before = tag.start()
            if not name and not tag[1]:
                name, start = kind, (place, offset)
                parts, position = _Parts(place), tag.start()
            elif name == kind and tag[1]:
                parts.add(line[position : tag.end()])
                yield *start, parts.text
                name = ""
            elif not name or name == kind:
                raise BenchError(
                    f"{place}: {tag[0]} " + ("before another has ended" if name else "without a beginning")
                )
        if name:
            parts.add(line[position:] + "\n")
    if name:
        raise BenchError(f"{start[0]}: <{name}> without </{name}>")
    if not parts:
        raise BenchError(f"{place.rpartition(': ')[0]}: no <DOC>, <top> or <topic number=...> ends in it")


def _smart(lines: Iterable[Line]) -> Iterator[Line]:
    start, parts = ("", 0), _Parts("")
    for place, offset, line in lines:
        if re.match(r"\.I\s", line):
            if parts:
                yield *start, parts.text
            start, parts = (place, offset), _Parts(place)
        if start[0]:  # blank lines may precede the first record
            parts.add(line + "\n")
    yield *start, parts.text


def _npl(lines: Iterable[Line]) -> Iterator[Line]:
    start, parts = ("", 0), _Parts("")
    for place, offset, line in lines:
        if line.strip() == "/":
            if parts:
                yield *start, parts.text
            parts = _Parts("")
        elif line.strip():
            if not parts:
                start, parts = (place, offset), _Parts(place)
            parts.add(line + "\n")
    if parts:
        raise BenchError(f"{start[0]}: no line with a slash ends the text")


class _Parts:
    """The text of a record, which may not be longer than a line may be."""

    def __init__(self, place: str) -> None:
        self._place, self._parts, self._length = place, list[str](), 0

    def add(self, text: str) -> None:
        self._length += len(text)
        if self._length > LONGEST_LINE:
            raise BenchError(f"{self._place}: a record longer than {LONGEST_LINE:,} characters")
        self._parts.append(text)

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def text(self) -> str:
        return "".join(self._parts)
