"""Bible translations, aligned by a list of verse references such as `MAT 1:1`.

A translation is a text file with a line for each reference, where an empty line is a verse that the translation
lacks and `<range>` marks a verse whose text was merged into the line above; or it is CES XML, in which the verse
is the segment `b.MAT.1.1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data import Bitext, Pair
from bench.data.formats.markup import elements, text_inside
from bench.data.formats.source import Source
from bench.data.formats.text import lines
from bench.errors import BenchError

_MERGED = "<range>"


def bitext(source: Source, pair: Pair) -> Bitext:
    """The verses that both translations have, from the files `queries`, `documents` and `references`.

    Where one side merges verses, the other side's are joined, so that both sides of a row say the same;
    a group of merged verses that either side lacks in part is left out, and so is a verse without a reference.
    The card's option `books` maps XML's names of books to those of the references, where they differ. Raises
    BenchError if the lengths of text files differ, and if no verse of an XML file has a reference.
    """
    references = lines(source.one("references"))
    queries, documents = (_verses(source, part, references) for part in ("queries", "documents"))

    rows = []
    start = 0
    for end in range(1, len(references) + 1):
        if end < len(references) and _MERGED in (queries[end].strip(), documents[end].strip()):
            continue
        row = _join(queries[start:end]), _join(documents[start:end])
        if all(row):
            rows.append(row)
        start = end
    return Bitext.of(pair, (query for query, _ in rows), (document for _, document in rows), source.name)


def _verses(source: Source, part: str, references: Sequence[str]) -> list[str]:
    """The text of each reference."""
    path = source.one(part)
    if path.suffix == ".xml":
        found = _read_segments(path, source.options.get("books", {}))
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
    """The verses of a CES file by their references; refuses a segment that is no verse or comes twice."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for segment in elements(path, file, "seg"):
            key = segment.get("id", "")
            parts = key.split(".")
            if len(parts) != 4:
                raise BenchError(f"{path}: the segment '{key}' is no verse; its id must be like b.MAT.1.1")
            reference = f"{books.get(parts[1], parts[1])} {parts[2]}:{parts[3]}"
            if reference in found:
                raise BenchError(f"{path}: the verse {key} occurs twice")
            found[reference] = text_inside(path, segment)
    return found


def _join(verses: Sequence[str]) -> str:
    """The text of consecutive verses of one translation, or nothing if one of them is missing."""
    texts = [verse.strip() for verse in verses]
    return " ".join(text for text in texts if text != _MERGED) if all(texts) else ""
