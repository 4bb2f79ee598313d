"""Files that are damaged or made to do harm: read as if whole, or refused with one line that names the file."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_formats import json_lines, parse, zipped

from bench.data import Pair
from bench.data.formats import bitext
from bench.data.formats.reading import LONGEST, lines
from bench.errors import BenchError
from bench.storage.reading import LONGEST_LINE

SWH = Pair("swh", "eng")
CODES = {"swh": "sw", "eng": "en"}
HUGE = 100 << 20


@dataclass(frozen=True)
class Sample:
    """Valid files of one format, by part; the first of them is the one that tests damage."""

    format: str
    role: str
    files: dict[str, bytes]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return next(iter(self.files.values()))

    @property
    def file(self) -> str:
        return next(iter(self.files)).split("/")[-1]

    def parse(self, folder: Path, content: bytes) -> Any:
        """The data of these files, the first with another content."""
        files = {**self.files, next(iter(self.files)): content}
        key = SWH if self.role in ("bitext", "test") else "eng"
        return parse(folder, self.format, self.role, files, key, CODES, **self.options)


VERSES = b"""<?xml version="1.0" encoding="utf-8"?>
<cesDoc><text><body>
<seg id="b.MAR.1.1" type="verse"> moja </seg>
<seg id="b.MAR.1.3" type="verse">tatu &amp; nne</seg>
</body></text></cesDoc>
"""
MEMORY = b"""<?xml version="1.0" encoding="utf-8"?>
<tmx version="1.4"><body>
<tu tuid="1"><tuv xml:lang="sw"><seg>moja</seg></tuv><tuv xml:lang="en"><seg>one</seg></tuv></tu>
</body></tmx>
"""
QUESTION = {"id": "1", "question_lang": "wapi?", "question_translated": "where?", "context": "here"}
ARTICLES = {"data": [{"paragraphs": [{"context": "here", "qas": [{"id": "1", "question": "where?"}]}]}]}
SAMPLES = {
    "aligned-lines": Sample("aligned-lines", "bitext", {"queries": b"moja\nmbili\n", "documents": b"one\ntwo\n"}),
    "aligned-lines-test": Sample("aligned-lines", "test", {"queries": b"moja\nmbili\n", "documents": b"one\ntwo\n"}),
    "documents-of-lines": Sample(
        "documents-of-lines", "test", {"document-ids": b"x\ny\n", "queries": b"moja\nmbili\n", "documents": b"1\n2\n"}
    ),
    "verses": Sample(
        "verses", "bitext", {"queries": b"moja\n<range>\n\n", "documents": b"1\n2\n3\n", "references": b"A\nB\nC\n"}
    ),
    "verses-xml": Sample(
        "verses",
        "bitext",
        {"queries/q.xml": VERSES, "documents": b"one\n<range>\nthree\n", "references": b"MRK 1:1\nMRK 1:2\nMRK 1:3\n"},
        {"books": {"MAR": "MRK"}},
    ),
    "tab-separated": Sample("tab-separated", "bitext", {"rows": b"moja\tone\tby me\nmbili\ttwo\tby you\n"}),
    "tab-separated-quoted": Sample(
        "tab-separated",
        "bitext",
        {"rows": b'English\tSwahili\n"""one"", he said"\tmoja\ntwo\t"mbili"\n'},
        {"query": 2, "document": 1, "header": True, "quoted": True},
    ),
    "xnli": Sample("xnli-premises", "test", {"queries": b"moja\ta\nmbili\tb\n", "documents": b"one\ta\ntwo\tb\n"}),
    "qed": Sample(
        "qed",
        "passages",
        {"examples": json_lines(*[{"question_text": "?", "paragraph_text": c} for c in "ab"]).encode()},
    ),
    "afriqa": Sample("afriqa", "test", dict.fromkeys(("queries", "documents"), json_lines(QUESTION).encode())),
    "squad": Sample("squad", "relevance", {"articles": json.dumps(ARTICLES).encode()}),
    "tmx-zip": Sample("tmx-zip", "bitext", {"memories": zipped("a.tmx", MEMORY)}),
}
TEXTS = {name: sample for name, sample in SAMPLES.items() if name != "tmx-zip"}


def refusal(sample: Sample, folder: Path, content: bytes) -> str:
    """The one line that refuses it."""
    with pytest.raises(BenchError) as error:
        sample.parse(folder, content)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400 + 2 * len(str(folder))
    return message


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_that_is_cut_or_damaged_anywhere_is_read_or_refused(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    content = sample.content
    assert sample.parse(tmp_path, content)
    places = range(0, len(content), max(len(content) // 150, 1))
    cut = [content[:i] for i in places]
    damaged = [content[:i] + bytes([content[i] ^ flip]) + content[i + 1 :] for i in places for flip in (1, 255)]
    for version in (*cut, *damaged):
        try:
            sample.parse(tmp_path, version)
        except BenchError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("name", TEXTS)
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    windows = b"\xef\xbb\xbf" + sample.content.replace(b"\n", b"\r\n")
    assert sample.parse(tmp_path, windows) == sample.parse(tmp_path, sample.content)


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_not_utf8_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    lines = SAMPLES[name].content.split(b"\n")
    lines[-2:-1] = [lines[-2][:3] + b"\xff" + lines[-2][3:]] if len(lines) > 1 else []
    lines[-1] = lines[-1] and b"\xff" + lines[-1]
    number = max(len(lines) - 1, 1)
    assert f"{SAMPLES[name].file}: line {number}" in refusal(SAMPLES[name], tmp_path, b"\n".join(lines))


def test_a_line_that_never_ends_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("wb") as file:
        file.write(b"one\n")
        file.truncate(HUGE)  # of zeros, which the file system need not keep
    tracemalloc.start()
    with pytest.raises(BenchError, match="lines: line 2: longer than 8,388,608 bytes"):
        lines(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * LONGEST_LINE


@pytest.mark.parametrize("name", ["squad", "verses-xml"])
def test_a_text_that_no_sentence_or_passage_is_as_long_as_is_refused(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    text = {"squad": b"where?", "verses-xml": b"moja"}[name]
    assert "1,048,577 characters" in refusal(sample, tmp_path, sample.content.replace(text, b"x" * (LONGEST + 1)))
    assert sample.parse(tmp_path, sample.content.replace(text, b"x" * LONGEST))


BOMB = b'<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
OUTSIDE = b'<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("declaration", [BOMB, OUTSIDE])
@pytest.mark.parametrize("name", ["tmx-zip", "verses-xml"])
def test_entities_are_refused(tmp_path: Path, name: str, declaration: bytes) -> None:
    header, rest = (VERSES if name == "verses-xml" else MEMORY).split(b"\n", 1)
    text = b"\n".join([header, declaration, rest.replace(b"moja", b"&a;")])
    content = text if name == "verses-xml" else zipped("a.tmx", text)
    assert "declares XML entities, which are refused" in refusal(SAMPLES[name], tmp_path, content)


@pytest.mark.parametrize("encoding", [b"shift_jis", b"klingon", b"utf-16"])
def test_xml_in_another_encoding_than_it_says_is_refused(tmp_path: Path, encoding: bytes) -> None:
    assert "q.xml" in refusal(SAMPLES["verses-xml"], tmp_path, VERSES.replace(b"utf-8", encoding))


@pytest.mark.parametrize("member", ["../../outside.tmx", "/outside.tmx", "..\\outside.tmx"])
def test_an_archive_writes_nothing_wherever_its_member_wants_to_go(tmp_path: Path, member: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert SAMPLES["tmx-zip"].parse(folder, zipped(member, MEMORY)) == [("moja", "one")]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["memories"]


def bomb(unfolded: int, declared: int) -> bytes:
    """An archive whose member unfolds to `unfolded` bytes of white space and says that they are `declared`."""
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
    message = refusal(SAMPLES["tmx-zip"], tmp_path, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert complaint in message
    assert peak < 64 << 20


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_cannot_be_unfolded_bit_by_bit_are_refused(tmp_path: Path, compression: int) -> None:
    message = refusal(SAMPLES["tmx-zip"], tmp_path, zipped("a.tmx", MEMORY, compression))
    assert "a.tmx is neither stored nor deflated" in message


def test_an_archive_within_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitext, "LARGEST_FILE", len(MEMORY))
    assert len(SAMPLES["tmx-zip"].parse(tmp_path, zipped("a.tmx", MEMORY))) == 1
    assert "would unpack to" in refusal(SAMPLES["tmx-zip"], tmp_path, zipped("a.tmx", MEMORY + b" "))
