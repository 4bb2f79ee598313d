"""Files that were made to do harm: refused with one line, in time and memory that are linear in their size."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from readers import MEMORY, READERS, XML, limited_memory, limited_time
from test_formats import zipped

from bench.data.formats import bitext
from bench.data.formats.reading import LONGEST, lines
from bench.storage import reading
from bench.storage.reading import BLANK_LINES, LONGEST_LINE

HUGE = 100 << 20


def refusal(folder: Path, name: str, content: bytes, file: str = "") -> str:
    """Return the line that refuses a file of a reader, by default its first one; empty if it is read."""
    reader = READERS[name]
    reader.write(folder, **{file or next(iter(reader.files)): content})
    with limited_time():
        return reader.refusal(folder)


@pytest.mark.parametrize("name", [name for name in READERS if name != "tmx bitext"])
def test_what_is_not_utf8_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    file, content = next(iter(READERS[name].files.items()))
    rows = content.split(b"\n")
    place = max(len(rows) - 2, 0)
    rows[place] = rows[place][:3] + b"\xff" + rows[place][3:]
    message = refusal(tmp_path, name, b"\n".join(rows))
    assert f"{Path(file).name}: line {place + 1}" in message


def test_a_line_that_never_ends_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("wb") as file:
        file.write(b"one\n")
        file.truncate(HUGE)  # of zeros, which the file system need not keep
    tracemalloc.start()
    with pytest.raises(ValueError, match="lines: line 2: longer than 8,388,608 bytes"):
        lines(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * LONGEST_LINE


@pytest.mark.parametrize(("name", "text"), [("squad relevance", b'"A"'), ("verses bitext, XML", b"moja")])
def test_a_text_that_no_sentence_or_passage_is_as_long_as_is_refused(tmp_path: Path, name: str, text: bytes) -> None:
    content = next(iter(READERS[name].files.values()))
    quote = b'"' * text.startswith(b'"')
    for length, complaint in ((LONGEST, ""), (LONGEST + 1, "1,048,577 characters")):
        message = refusal(tmp_path, name, content.replace(text, quote + b"x" * length + quote))
        assert complaint in message and bool(message) == bool(complaint)


BOMB = '<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("declaration", [BOMB, OUTSIDE])
@pytest.mark.parametrize("name", ["tmx bitext", "verses bitext, XML"])
def test_entities_are_refused(tmp_path: Path, name: str, declaration: str) -> None:
    header, rest = (MEMORY if name == "tmx bitext" else XML).split("\n", 1)
    text = "\n".join([header, declaration, rest.replace("moja", "&a;")])
    content = zipped("a.tmx", text) if name == "tmx bitext" else text.encode()
    assert "XML entities are not supported" in refusal(tmp_path, name, content)


@pytest.mark.parametrize("encoding", ["shift_jis", "klingon", "utf-16"])
def test_xml_in_another_encoding_than_it_says_is_refused(tmp_path: Path, encoding: str) -> None:
    assert "q.xml" in refusal(tmp_path, "verses bitext, XML", XML.replace("utf-8", encoding).encode())


@pytest.mark.parametrize("member", ["../../outside.tmx", "/outside.tmx", "..\\outside.tmx"])
def test_an_archive_writes_nothing_wherever_its_member_wants_to_go(tmp_path: Path, member: str) -> None:
    assert refusal(tmp_path / "a" / "b", "tmx bitext", zipped(member, MEMORY)) == ""
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["memories"]


def bomb(unfolded: int, declared: int) -> bytes:
    """Return an archive whose member unfolds to `unfolded` bytes of white space and says that they are `declared`."""
    deflate = zlib.compressobj(9, wbits=-15)
    # After a full flush the stream stands where it began, so that one block can be repeated at no cost.
    block = deflate.compress(b" " * (1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = block * (unfolded >> 20) + deflate.flush()
    archive = bytearray(zipped("a.tmx", data, zipfile.ZIP_STORED))
    entry = archive.index(b"PK\x01\x02")
    struct.pack_into("<H", archive, entry + 10, zipfile.ZIP_DEFLATED)
    struct.pack_into("<I", archive, entry + 24, declared)
    return bytes(archive)


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [(3 << 30, "a.tmx would unpack to 3,221,225,472 bytes"), (100, "memories: not a readable zip archive")],
)
def test_an_archive_that_unfolds_to_gigabytes_is_refused_before_it_does(
    tmp_path: Path, declared: int, complaint: str
) -> None:
    content = bomb(3 << 30, declared)
    assert len(content) < 8 << 20
    tracemalloc.start()
    message = refusal(tmp_path, "tmx bitext", content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert complaint in message
    assert peak < 64 << 20


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_cannot_be_unfolded_bit_by_bit_are_refused(tmp_path: Path, compression: int) -> None:
    message = refusal(tmp_path, "tmx bitext", zipped("a.tmx", MEMORY, compression))
    assert "a.tmx is neither stored nor deflated" in message


def test_an_archive_within_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitext, "LARGEST_FILE", len(MEMORY))
    assert refusal(tmp_path, "tmx bitext", zipped("a.tmx", MEMORY)) == ""
    assert "would unpack to" in refusal(tmp_path, "tmx bitext", zipped("a.tmx", MEMORY + " "))


MANY = 50_000
TMX = "tmx bitext"


def memory(inside: bytes) -> bytes:
    return zipped("a.tmx", b"<tmx>" + inside + b"</tmx>")


HANGING = {
    # Each needs hours if the time is quadratic, and seconds if it is linear.
    "topics without an end": ("trec test, SGML", b"<top>" * MANY, "before another has ended"),
    "a topic without an end": ("trec test, SGML", b"<top" + b" <" * MANY, "<top>"),
    "documents in one line": (
        "corpus",
        b"".join(b"<DOC><DOCNO>%d</DOCNO>a</DOC>" % number for number in range(MANY)),
        "no document is judged relevant",
    ),
    "an element without an end": ("corpus", b"<DOC><DOCNO>1</DOCNO><" + b"a" * 1_040_000 + b"</DOC>", "no doc"),
    "lines of an NPL text": ("corpus", b"1\n" + b"a\n" * (LONGEST // 4) + b"/\n", "no document is judged"),
    "fields of a SMART text": ("corpus", b".I 1\n" + b".W\n" * MANY, "no document is judged relevant"),
    "queries of a run in turn": (
        "run",
        "".join(f"q{number % 3} Q0 d{number} 1 {number} t\n" for number in range(MANY)).encode(),
        "",
    ),
    "keys of JSON": ("MTEB", b"{" + b",".join(b'"%d":1' % (n % (MANY - 1)) for n in range(MANY)) + b"}", "'0' occurs"),
    "blank lines": ("corpus", gzip.compress(b"\n" * (BLANK_LINES + 1), 1), "more than 1,048,576 blank lines in a row"),
    "packed zeros": ("qrels", gzip.compress(bytes(HUGE), 1), "line 1: longer than"),
    "elements in elements": (TMX, memory(b"<a>" * 1_000_000), "nested more than 100 levels deep"),
    "elements in a unit": (TMX, memory(b"<tu>" + b"<a/>" * 200_000), "a <tu> of more than 8,388,608 characters"),
    "elements": (TMX, memory(b"<a/>" * 200_000), "no unit has both"),
    "a text": (TMX, memory(b"<tu><tuv><seg>" + b"a" * (9 << 20)), "a <tu> of more than 8,388,608 characters"),
    "a comment": (TMX, memory(b"<!--" + b"a" * (9 << 20)), "without the end of a <tu>"),
    "tags without a unit": (TMX, memory(b"<a/>" * (3 << 20)), "without the end of a <tu>"),
}


@pytest.mark.parametrize("case", HANGING)
def test_time_and_memory_are_linear(tmp_path: Path, case: str) -> None:
    name, content, complaint = HANGING[case]
    corpus = name == "corpus"
    with limited_memory():
        message = refusal(tmp_path, "trec test" if corpus else name, content, "documents" if corpus else "")
    assert complaint in message and bool(message) == bool(complaint)


def test_lines_unpack_to_a_multiple_of_their_size_and_whole_files_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SMALL", MANY)
    assert "unpacks to more than 20 times its size" in refusal(
        tmp_path, "aligned-lines test", gzip.compress(b"a\n" * MANY)
    )
    monkeypatch.setattr(reading, "LARGEST_FILE", MANY)
    assert "more than 50,000 bytes" in refusal(tmp_path, "MTEB", gzip.compress(b" " * MANY + b"7"))
