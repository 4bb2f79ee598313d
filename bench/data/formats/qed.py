"""QED: Natural Questions, each with the paragraph that answers it, as JSON Lines."""

from __future__ import annotations

from bench.data import Pair, Relevance
from bench.data.formats.reading import Source, json_lines, text_of


def relevance(source: Source, pair: Pair) -> Relevance:
    """Return the questions of the files `examples`, each with its paragraph."""
    questions, paragraphs = zip(*_read(source), strict=True)
    return Relevance.of(pair, questions, paragraphs, source.name)


def passages(source: Source, language: str) -> tuple[str, ...]:
    """Return the distinct paragraphs of the files `examples`."""
    return tuple(dict.fromkeys(paragraph for _, paragraph in _read(source)))


def _read(source: Source) -> list[tuple[str, str]]:
    return [
        (text_of(row, "question_text", place), text_of(row, "paragraph_text", place))
        for path in source.many("examples")
        for place, row in json_lines(path)
    ]
