"""Formats of aligned text: aligned lines, tab-separated pairs, translation memories (TMX) and Bible translations."""

import csv
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from gzip import GzipFile
from pathlib import Path
from typing import IO, Literal

from pydantic import Field

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import judge_alike, make_test
from bench.data.formats.reading import FormatOptions, Row, Source, add_new, elements, lines, numbered, text_inside
from bench.errors import BenchError
from bench.storage.reading import LARGEST_FILE, opened, placed_lines

ZIP = b"PK\x03\x04"
"""The first bytes of a zip archive."""
# With other compression methods, zipfile unpacks a block at once, whatever its size.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_MERGED = "<range>"


def aligned_lines(source: Source, pair: Pair) -> Iterator[Row]:
    """Yield the rows of the files `queries` and `documents`. Raises `BenchError` if their lengths differ."""
    queries, documents = _read_aligned(source, "queries", "documents")
    for number, (query, document) in enumerate(zip(queries, documents, strict=True), start=1):
        yield query, document, f"line {number}"


def aligned_lines_test(source: Source, pair: Pair) -> TestCollection:
    """Return the test in which line i of `documents` is relevant to query i; oracle queries would be the documents.
    Raises `BenchError` for an empty line, and if the files differ in length.
    """
    queries, documents = map(numbered, _read_aligned(source, "queries", "documents", complete=True))
    return make_test(source, pair, queries, documents, {key: {key: 1} for key in queries})


def documents_of_lines(source: Source, pair: Pair) -> TestCollection:
    """Return the test in which the document with line i of `documents`, as line i of `document-ids` names it, is
    relevant to query i. The lines are the oracle queries. Queries with equal texts, in either language, share their
    documents. Raises `BenchError` for an empty line, and if the three files differ in length.
    """
    texts, sentences, names = _read_aligned(source, "queries", "documents", "document-ids", complete=True)
    documents: dict[str, list[str]] = {}
    for name, sentence in zip(names, sentences, strict=True):
        documents.setdefault(name, []).append(sentence.strip())
    corpus = {name: " ".join(parts) for name, parts in documents.items()}
    queries = numbered(texts)
    qrels = judge_alike(queries, names, texts, sentences)
    return make_test(source, pair, queries, corpus, qrels, oracle_queries=tuple(sentences))


def _read_aligned(source: Source, *parts: str, complete: bool = False) -> list[list[str]]:
    """Return the lines of files, which must be as many; if `complete`, no line may be empty."""
    files = {source.one(part): lines(source.one(part)) for part in parts}
    first, *_ = files
    for path, texts in files.items():
        if len(texts) != len(files[first]):
            raise BenchError(
                f"{first} has {len(files[first])} lines, but {path} has {len(texts)}; aligned files need as many"
            )
        if complete and (empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]):
            raise BenchError(f"{path}: line {empty[0]}: empty, but a test needs a text in every line")
    return [files[source.one(part)] for part in parts]


class Columns(FormatOptions):
    """The columns of tab-separated files, counted from 1."""

    query: int = Field(1, gt=0)
    """The column in the query language."""
    document: int = Field(2, gt=0)
    """The column in the document language."""
    header: bool = False
    """Skip the first line."""
    quoted: bool = False
    """Read cells as in CSV: within quotation marks, those inside doubled."""


def tab_separated(source: Source, pair: Pair, columns: Columns) -> Iterator[Row]:
    """Yield two columns of the files `rows`. Raises `BenchError` if a line has more or fewer cells than the first."""
    return (row for path in source.many("rows") for row in _cells(path, columns))


def _cells(path: Path, columns: Columns) -> Iterator[Row]:
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if columns.quoted else csv.QUOTE_NONE
    width, last = 0, max(columns.query, columns.document)
    for number, (place, _, line) in enumerate(placed_lines(path), start=1):
        try:
            cells = next(csv.reader([line], "excel-tab", quoting=quoting, strict=True), [])
        except csv.Error as error:
            raise BenchError(f"{place}: {error}") from error
        width = width or len(cells)
        if len(cells) != width:
            raise BenchError(f"{place}: {len(cells)} cells, but line 1 has {width}")
        if width < last:
            raise BenchError(f"{place}: {width} cells, but the card names column {last}")
        if number > 1 or not columns.header:
            yield cells[columns.query - 1], cells[columns.document - 1], f"line {number}"


def tmx(source: Source, pair: Pair) -> list[Row]:
    """Return the translation units that have both languages, from the files `memories`: TMX 1.4, plain, gzipped or in a
    zip archive of its own. Units of several memories are joined on their `tuid`; of two texts in one language the first
    counts. Raises `BenchError` for an unreadable archive or XML, and if no unit has both languages.
    """
    units: dict[str, dict[str, str]] = {}
    for path in source.many("memories"):
        for name, texts in memory_units(path):
            units[name] = texts | units.get(name, {})
    query, document = source.code(pair.query).lower(), source.code(pair.document).lower()
    both = {name: unit for name, unit in units.items() if query in unit and document in unit}
    rows = [(unit[query], unit[document], f"unit {name}") for name, unit in both.items()]
    if not rows:
        languages = sorted({language for unit in units.values() for language in unit})
        raise BenchError(
            f"{source.name}: no unit has both '{query}' and '{document}'; the languages in its files are "
            f"{', '.join(languages) or 'none'}"
        )
    return rows


def memory_units(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the `tuid`, or the place, of each unit of a TMX file, and its texts by language in lower case."""
    with opened(path) as packed:
        if packed.read(len(ZIP)) != ZIP:
            packed.seek(0)
            yield from _units(path, packed)
            return
    try:
        with opened(path) as packed, zipfile.ZipFile(packed) as archive:
            members = [member for member in archive.infolist() if _is_memory(member.filename)]
            if len(members) != 1:
                raise BenchError(f"{path}: {len(members)} .tmx files in the archive instead of one")
            if members[0].file_size > LARGEST_FILE:
                raise BenchError(f"{path}: {members[0].filename} would unpack to {members[0].file_size:,} bytes")
            if members[0].compress_type not in _BOUNDED:
                raise BenchError(f"{path}: {members[0].filename} is neither stored nor deflated; zip it again")
            with archive.open(members[0]) as file:
                yield from _units(path, file)
    except BenchError:
        raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise BenchError(f"{path}: not a readable zip archive: {error}") from error


def _units(path: Path, file: IO[bytes] | GzipFile) -> Iterator[tuple[str, dict[str, str]]]:
    for number, element in enumerate(elements(path, file, "tu"), start=1):
        texts: dict[str, str] = {}
        for variant in element.iter("tuv"):
            language, segment = variant.get(_LANGUAGE) or variant.get("lang"), variant.find("seg")
            if language and segment is not None:
                texts.setdefault(language.lower(), text_inside(path, segment))
        yield element.get("tuid") or f"{path}#{number}", texts


def _is_memory(name: str) -> bool:
    """Return True for the name of a TMX file that is not hidden, as macOS adds them to archives."""
    return re.fullmatch(r"(.*[/\\])?[^./\\][^/\\]*\.tmx", name, re.IGNORECASE) is not None


class Books(FormatOptions):
    """The names of books in XML."""

    books: dict[str, str] = Field(default_factory=dict)
    """The names of books in `references` by those in the file."""


def verses(source: Source, pair: Pair, options: Books) -> Iterator[Row]:
    """Yield the verses that both translations have, from the files `queries`, `documents` and `references`.

    A translation is a text file with a line per reference, such as `MAT 1:1`. An empty line is a missing verse, and
    `<range>` marks a verse that is merged into the line above. Or it is CES XML with segments such as `b.MAT.1.1`; the
    option `books` translates the names of books. Verses that one side merges are joined on the other. Raises
    `BenchError` if the lengths of text files differ, and if no verse of an XML file has a reference.
    """
    references = lines(source.one("references"))
    queries, documents = (_read_verses(source, part, references, options.books) for part in ("queries", "documents"))
    in_text = all(source.one(part).suffix != ".xml" for part in ("queries", "documents"))
    start = 0
    for end in range(1, len(references) + 1):
        if end < len(references) and _MERGED in (queries[end].strip(), documents[end].strip()):
            continue
        query, document = _join(queries[start:end]), _join(documents[start:end])
        if query and document:
            yield query, document, f"line {start + 1}, {references[start]}" if in_text else references[start]
        start = end


def _read_verses(source: Source, part: str, references: Sequence[str], books: Mapping[str, str]) -> list[str]:
    """Return the text of each reference."""
    path = source.one(part)
    if path.suffix == ".xml":
        found = _read_segments(path, books)
        if not found.keys() & set(references):
            raise BenchError(f"{path} has none of the verses of {source.one('references')}")
        return [found.get(reference, "") for reference in references]
    side = lines(path)
    if len(side) != len(references):
        raise BenchError(f"{path} has {len(side)} lines, but {source.one('references')} has {len(references)} verses")
    if side[0].strip() == _MERGED:
        raise BenchError(f"{path}: line 1: {_MERGED}, but there is no line above it")
    return side


def _read_segments(path: Path, books: Mapping[str, str]) -> dict[str, str]:
    """Return the verses of a CES file by their references."""
    found: dict[str, str] = {}
    with opened(path) as file:
        for segment in elements(path, file, "seg"):
            key = segment.get("id", "")
            parts = key.split(".")
            if len(parts) != 4:
                raise BenchError(f"{path}: the segment id '{key}' is no verse; expected an id like b.MAT.1.1")
            reference = f"{books.get(parts[1], parts[1])} {parts[2]}:{parts[3]}"
            add_new(found, reference, text_inside(path, segment), str(path))
    return found


def _join(verses: Sequence[str]) -> str:
    """Join consecutive verses of one translation; return "" if one of them is missing."""
    texts = [verse.strip() for verse in verses]
    return " ".join(text for text in texts if text != _MERGED) if all(texts) else ""
