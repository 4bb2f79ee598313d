"""Reading text files strictly: what is wrong is refused with the file's name and the line's number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError

LONGEST = 1 << 20
"""Bytes of a line, characters of a text: far more than any sentence or passage has."""


def read(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; raises BenchError if empty or not UTF-8."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BenchError(f"{path}: line {line}: not UTF-8") from error
    if not text.strip():
        raise BenchError(f"{path} is empty")
    return text


def lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends and a byte order mark; LF and CRLF are understood.

    Only "\\n" ends a line: str.splitlines would also split at characters that occur inside sentences,
    such as U+2028. Raises BenchError if the file is empty or not UTF-8, and for a line longer than `LONGEST`.
    """
    found: list[str] = []
    with path.open("rb") as file:
        while data := file.readline(LONGEST + 1):
            place = f"{path}: line {len(found) + 1}"
            if len(data) > LONGEST:
                raise BenchError(f"{place}: longer than {LONGEST:,} bytes, so it is no line of text")
            try:
                line = data.decode("utf-8" if found else "utf-8-sig")
            except UnicodeDecodeError as error:
                raise BenchError(f"{place}: not UTF-8") from error
            found.append(line.removesuffix("\n").removesuffix("\r"))
    if not any(line.strip() for line in found):
        raise BenchError(f"{path} is empty")
    return found


def json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSON Lines file, each with its place (file and line) for error messages."""
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        yield place, json_object(line, place)


def json_object(line: str, place: str) -> Mapping[str, Any]:
    """The JSON object that a line is; raises BenchError, naming the place, if it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{place}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise BenchError(f"{place}: not a JSON object")
    return row


def text_of(row: Any, key: str, place: str) -> str:
    """The text under a key of a JSON object; raises BenchError, naming the place, unless it is a proper text."""
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise BenchError(f"{place}: no text under '{key}'")
    if len(value) > LONGEST:
        raise BenchError(f"{place}: {len(value):,} characters under '{key}', so it is no sentence or passage")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BenchError(f"{place}: half of a surrogate pair under '{key}', which UTF-8 cannot write") from error
    return value
