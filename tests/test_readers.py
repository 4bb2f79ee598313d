"""The contract of every reader of users' files: it reads a file, or refuses it with one line that names the file.

`BENCH_FUZZ` is the number of damaged files per reader that hypothesis makes; `tox -e fuzz` sets it to 2,000.
"""

from __future__ import annotations

import ast
import copy
import gzip
import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import readers
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import OTHERS, PARSERS, READERS, limited_memory, limited_time
from test_formats import zipped

import bench
from bench.data import formats

EXAMPLES = int(os.environ.get("BENCH_FUZZ", "15"))
WITHOUT_FILES = {"conlang bitext", "conlang relevance", "conlang test", "ir-datasets relevance", "ir-datasets test"}
MODULES = {
    "bench/options.py": ["config"],
    "bench/data/cards.py": ["card"],
    "bench/data/own.py": ["folder, BEIR", "own TSV", "own JSON Lines", "own TMX", "own lines"],
    "bench/evaluation/run_files.py": ["run", "own run"],
    "bench/gate/baseline.py": ["baseline"],
    "bench/results/mteb.py": ["MTEB"],
}
"""The modules that read files of users besides those of the formats, and their readers here."""


def test_every_reader_has_files_here() -> None:
    table = {f"{format} {role}" for role, parsers in formats.FORMATS.items() for format in parsers}
    assert {name.split(",")[0] for name in PARSERS} == table - WITHOUT_FILES
    root = Path(bench.__file__).parents[1]
    importing = {
        path.relative_to(root).as_posix()
        for path in root.glob("bench/**/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "bench.storage.reading"
    }
    assert {path for path in importing if not path.startswith("bench/data/formats/")} == set(MODULES)
    assert {name for names in MODULES.values() for name in names} <= set(OTHERS)


@pytest.mark.parametrize("name", READERS)
def test_valid_files_are_read(tmp_path: Path, name: str) -> None:
    READERS[name].write(tmp_path / "mine")
    assert READERS[name].read(tmp_path / "mine")


LONG = b"9" * 5000
BODIES = {
    "empty": b"",
    "NUL bytes": bytes(1000),
    "UTF-16": "a\tb\n".encode("utf-16"),
    "brackets": b"[" * 10_000,
    "lists": b"[" * 10_000 + b"]" * 10_000,
    "objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "elements": b"<tmx>" * 10_000,
    "TOML lists": b"a = " + b"[" * 10_000 + b"]" * 10_000,
    "TOML tables": b"[" + b"a." * 10_000 + b"a]\nb = 1",
    "long integer": LONG,
    "long integer in JSON": b'{"a": ' + LONG + b"}",
    "long integer in TOML": b"seeds = " + LONG,
    "NaN": b"NaN",
    "gzip of nothing": gzip.compress(b""),
    "half a gzip": gzip.compress(bytes(1000))[:20],
    "first bytes of gzip": b"\x1f\x8b",
    "zip of nothing": zipped("a.tmx", b""),
}
MALFORMED = (b"", BODIES["UTF-16"], BODIES["half a gzip"])
"""Bodies that no reader may read; an own run and a configuration may be empty."""
VALUES: tuple[Any, ...] = (None, True, 7, -1, 1.5, 1e999, "x", "", "\ud800", "a\nb", [], {}, ["x"], {"x": 1}, [[[0]]])
"""Values of a wrong type, mostly, for each key."""


def document(name: str, content: bytes) -> tuple[Any, Callable[[Any], bytes]] | None:
    """Return the value of JSON, JSON Lines or TOML, and the function that writes such values; None for others."""
    if name.endswith(".toml"):
        return tomllib.loads(content.decode()), lambda value: tomli_w.dumps(value).encode("utf-8", "surrogatepass")
    try:
        return json.loads(content), lambda value: json.dumps(value).encode()
    except ValueError:
        pass
    try:
        rows = [json.loads(line) for line in content.splitlines()]
        return rows, lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    except ValueError:
        return None


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or object inside of a value, with each of its indices or keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(items):
        yield value, key
        yield from places(part)


def wrong_types(name: str, content: bytes) -> Iterator[bytes]:
    """Yield the document with another value at each key, without the key, and with an unknown key beside it."""
    found = document(name, content)
    if found is None:
        return
    value, written = found
    for number, _ in enumerate(places(value)):
        for new in VALUES:
            other = copy.deepcopy(value)
            part, key = list(places(other))[number]
            part[key] = new
            try:
                yield written(other)
            except TypeError:  # TOML has no null
                continue
        other = copy.deepcopy(value)
        part, key = list(places(other))[number]
        del part[key]
        yield written(other)


@pytest.mark.parametrize("name", READERS)
def test_bodies_of_another_kind_are_read_or_refused(tmp_path: Path, name: str) -> None:
    reader, folder = READERS[name], tmp_path / "mine"
    reader.write(folder)
    for file, content in reader.files.items():
        cut = (content[: len(content) * tenth // 10] for tenth in range(10))
        for body in (*BODIES.values(), *cut, *wrong_types(file, content)):
            (folder / file).write_bytes(body)
            with limited_time():
                message = reader.refusal(folder)
            assert message or body not in MALFORMED or name in ("own run", "config"), file
        (folder / file).write_bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    reader, folder = READERS[name], tmp_path / "mine"
    for file in reader.files:
        for make in (
            lambda path: path.mkdir(),
            lambda path: os.mkfifo(path),
            lambda path: path.symlink_to("nowhere"),
            lambda path: path.symlink_to(path.name),
            *([] if os.getuid() == 0 else [lambda path: path.touch(0)]),
        ):
            reader.write(folder)
            (folder / file).unlink()
            make(folder / file)
            with limited_time(waiting=True):
                message = reader.refusal(folder)
            assert reader.layout or Path(file).name in message
            assert message
            (folder / file).rmdir() if (folder / file).is_dir() else (folder / file).unlink(missing_ok=True)


def test_byte_order_marks_line_ends_and_gzip_change_nothing(tmp_path: Path) -> None:
    for number, (name, reader) in enumerate(READERS.items()):
        reader.write(tmp_path / str(number) / "mine")
        expected = repr(reader.read(tmp_path / str(number) / "mine"))
        for change in (
            lambda content: b"\xef\xbb\xbf" + content,
            lambda content: content.replace(b"\n", b"\r\n"),
            gzip.compress,
        ):
            if name == "tmx bitext" and change is not gzip.compress:
                continue  # a zip archive is no text
            changed = {file: change(content) for file, content in reader.files.items()}
            reader.write(tmp_path / str(number) / "mine", **changed)
            assert repr(reader.read(tmp_path / str(number) / "mine")) == expected, name


TOKENS = [
    *(b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b"<", b">", b"/", b"=", b":", b",", b".", b"#", b"&", b"%"),
    *(b"\t", b" ", b"\n", b"\r\n", b"\r", b"\x00", b"\x0b", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe3\x80\x80", b"\xff"),
    *(b"\xef\xbb\xbf", b"\x1f\x8b", b"PK\x03\x04", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80"),
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"1_0", b"0x1", b"true", b"null", b"nan", b"inf", LONG, b"1" * 200),
    *(b"\\ud800", b"\\u0000", b"\\n", b"<top>", b"</top>", b"<DOC>", b"</DOC>", b"<DOCNO>", b"<num>", b"<title>"),
    *(b".I 1\n", b".W\n", b"/\n", b"<range>", b"<tu>", b"<seg>", b"<!--", b"<![CDATA[", b"<!DOCTYPE a []>", b"&#0;"),
    *(b'{"a": 1, "a": 2}', b'{"_id": "q1"}', b"[" * 200, b'{"a":' * 200, b"<a>" * 200, b"<a " * 200, b"[[x]]\n"),
]


@st.composite
def damaged(draw: st.DrawFn, name: str, content: bytes) -> bytes:
    """Return a file with some bytes replaced, moved or repeated, or with other values at some of its keys."""
    packed = content.startswith(b"PK")
    if packed and draw(st.booleans()):
        return zipped("a.tmx", draw(damaged(name, readers.MEMORY.encode())))
    found = document(name, content)
    if found and draw(st.booleans()):
        value, written = found
        for _ in range(draw(st.integers(1, 3))):
            whole = list(places(value))
            part, key = draw(st.sampled_from(whole)) if whole else ([], None)
            if key is not None:
                new = draw(st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=5))
                part[key] = copy.deepcopy(new)  # the next change may be inside of it
        try:
            content = written(value)
        except (TypeError, ValueError):  # TOML cannot write all values
            return content
    for _ in range(draw(st.integers(0, 4))):
        start, end, to = sorted(draw(st.integers(0, len(content))) for _ in range(3))
        piece = draw(st.sampled_from([*TOKENS, b"", content[end:to], content[start:end]]) | st.binary(max_size=4))
        end = draw(st.sampled_from([start, start + 1, end]))
        content = content[:start] + piece + content[end:]
    return gzip.compress(content, mtime=0) if draw(st.integers(0, 9)) == 0 else content


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name: str) -> None:
    reader = READERS[name]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(sorted(reader.files)))
        content = data.draw(damaged(file, reader.files[file]))
        reader.write(folder, **{file: content})
        with limited_time():
            reader.refusal(folder)

    with tempfile.TemporaryDirectory() as temporary, limited_memory():
        folder = Path(temporary) / "mine"
        check()
