"""Bible translations with one verse per line, aligned by line with a list of verse references.

An empty line is a verse that the translation lacks; `<range>` marks a verse whose text was merged into the
line above.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.data import Bitext, Pair
from bench.data.formats.source import Source
from bench.data.formats.text import lines
from bench.errors import BenchError

_MERGED = "<range>"


def bitext(source: Source, pair: Pair) -> Bitext:
    """The verses that both translations have, from the files `queries`, `documents` and `references`.

    Where one side merges verses, the other side's are joined, so that both sides of a row say the same;
    a group of merged verses that either side lacks in part is left out. Raises BenchError if the files'
    lengths differ.
    """
    paths = [source.one(part) for part in ("queries", "documents", "references")]
    queries, documents, references = map(lines, paths)
    for path, side in zip(paths[:2], (queries, documents), strict=True):
        if len(side) != len(references):
            raise BenchError(f"{path} has {len(side)} lines, but {paths[2]} has {len(references)} verses")
        if side[0].strip() == _MERGED:
            raise BenchError(f"{path}: line 1: {_MERGED}, but there is no line above it")

    rows = []
    start = 0
    for end in range(1, len(references) + 1):
        if end < len(references) and _MERGED in (queries[end].strip(), documents[end].strip()):
            continue
        row = _join(queries[start:end]), _join(documents[start:end])
        if all(row):
            rows.append(row)
        start = end
    return Bitext(
        tuple(query for query, _ in rows), tuple(document for _, document in rows), (source.name,) * len(rows)
    )


def _join(verses: Sequence[str]) -> str:
    """The text of consecutive verses of one translation, or nothing if one of them is missing."""
    texts = [verse.strip() for verse in verses]
    return " ".join(text for text in texts if text != _MERGED) if all(texts) else ""
