"""Bible translations, aligned by a list of verse references such as `MAT 1:1`.

A translation is a text file with a line per reference, or CES XML with segments such as `b.MAT.1.1`. In a text file an
empty line is a missing verse, and `<range>` marks a verse that was merged into the line above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data import Bitext, Pair
from bench.data.formats.reading import Source, check_new, elements, lines, text_inside
from bench.errors import BenchError

_MERGED = "<range>"


def bitext(source: Source, pair: Pair) -> Bitext:
    """Return the verses that both translations have, from the files `queries`, `documents` and `references`.

    If one side merges verses, those of the other side are joined. Groups with a missing verse and verses without a
    reference are left out. The option `books` of a card maps the names of books in XML to those of the references.
    Raises `BenchError` if the lengths of text files differ, and if no verse of an XML file has a reference.
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
    """Return the verses of a CES file by their references. Raises `BenchError` for a segment that is not one verse."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for segment in elements(path, file, "seg"):
            key = segment.get("id", "")
            parts = key.split(".")
            if len(parts) != 4:
                raise BenchError(f"{path}: the segment '{key}' is no verse; its id must be like b.MAT.1.1")
            reference = f"{books.get(parts[1], parts[1])} {parts[2]}:{parts[3]}"
            check_new(reference, found, str(path))
            found[reference] = text_inside(path, segment)
    return found


def _join(verses: Sequence[str]) -> str:
    """Return the text of consecutive verses of one translation; empty if one of them is missing."""
    texts = [verse.strip() for verse in verses]
    return " ".join(text for text in texts if text != _MERGED) if all(texts) else ""
