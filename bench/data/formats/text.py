"""Reading text files strictly: what is wrong is refused with the file's name and the line's number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError


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
    """The lines of a text file, without their ends; LF and CRLF are understood.

    Only "\\n" ends a line: str.splitlines would also split at characters that occur inside sentences,
    such as U+2028.
    """
    found = read(path).split("\n")
    if not found[-1]:
        found.pop()
    return [line.removesuffix("\r") for line in found]


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
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BenchError(f"{place}: half of a surrogate pair under '{key}', which UTF-8 cannot write") from error
    return value
