"""The reader of users' files: open, unpack, decode and parse.

A file that is missing, not a regular file, damaged, too large or malformed raises `BenchError`, which names the file
and, if possible, the line.
"""

import gzip
import json
import re
import stat
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any

from bench.errors import BenchError

GZIP = b"\x1f\x8b"
"""The first bytes of a gzipped file."""
LONGEST_LINE = 1 << 23
"""Maximum of bytes of a line, eight times that of a text, since a line may have escapes."""
LARGEST_FILE = 1 << 28
"""Maximum of unpacked bytes of JSON, TOML and XML, which are read as a whole."""
UNPACKED, SMALL = 20, 1 << 26
"""Maximum factor by which a gzipped file unpacks, from 64 MiB on. Text unpacks to about 4 times its size."""
BLANK_LINES = 1 << 20
"""Maximum of consecutive blank lines."""
DEEPEST = 100
"""Maximum of levels of JSON, TOML and XML."""
DIGITS = 100
"""Maximum of digits of an integer in JSON."""


@contextmanager
def opened(path: Path | Traversable) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a regular file, unpacked if it is gzipped. Raises `BenchError`, also for errors while reading."""
    try:
        if isinstance(path, Path) and not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
            raise BenchError(f"{path} cannot be read: not a regular file")
        with path.open("rb") as raw:
            packed = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            yield gzip.GzipFile(fileobj=raw) if packed else raw
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise BenchError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error


def read_text(path: Path | Traversable) -> str:
    """Return the text of a UTF-8 file without its byte order mark."""
    with opened(path) as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BenchError(f"{path}: more than {LARGEST_FILE:,} bytes, the maximum for a file of its kind")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BenchError(f"{path}: line {line}: not UTF-8") from error


def placed_lines(path: Path, start: int = 0, *, may_be_empty: bool = False) -> Iterator[tuple[str, int, str]]:
    """Yield place, offset in bytes and text of each line of a UTF-8 file, from the offset `start` on.

    The place is the file and the line number, for error messages. The file may be gzipped. Only LF and CRLF end a line,
    since `str.splitlines` would split sentences at U+2028.
    """
    number, offset, blank, empty = 0, start, 0, not may_be_empty
    with opened(path) as file:
        most = max(SMALL, UNPACKED * path.stat().st_size)
        file.seek(start)
        while data := file.readline(LONGEST_LINE + 1):
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
            blank = 0 if line.strip() else blank + 1
            empty = empty and blank > 0
            if blank > BLANK_LINES:
                raise BenchError(f"{place}: more than {BLANK_LINES:,} blank lines in a row")
            yield place, offset, line
            offset += len(data)
            if offset > most:
                raise BenchError(f"{place}: the file unpacks to more than {UNPACKED} times its size, unlike any text")
    if empty:
        raise BenchError(f"{path} is empty")


def read_json(path: Path) -> Any:
    """Return the value of a JSON file."""
    return parse_json(read_text(path), str(path))


def parse_json(text: str, place: str) -> Any:
    """Return the value of JSON text. NaN and infinities become floats, so callers check ranges.

    Raises `BenchError`, which begins with `place`, for repeated keys, lone surrogates and values beyond the limits.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{place}: not JSON: {error}") from error
    if text.count("[") + text.count("{") > DEEPEST:
        refuse_depth(value, place)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BenchError(f"{place}: a lone surrogate, which UTF-8 cannot encode") from error
    return value


def refuse_depth(value: Any, place: str) -> None:
    """Raise `BenchError` for lists and tables with too many levels."""
    level = [value]
    for _ in range(DEEPEST + 1):
        wholes = [whole for whole in level if isinstance(whole, list | dict)]
        level = [part for whole in wholes for part in (whole.values() if isinstance(whole, dict) else whole)]
    if level:
        raise BenchError(f"{place}: nested more than {DEEPEST} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        ((repeated, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated!r:.60} occurs twice in one object")
    return result


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"an integer of {len(digits):,} digits; the maximum is {DIGITS}")
    return int(digits)
