"""QED: Natural Questions with the paragraph that answers each, as JSON Lines."""

from __future__ import annotations

from bench.data import Pair, Relevance
from bench.data.formats.source import Source
from bench.data.formats.text import json_lines, text_of


def relevance(source: Source, pair: Pair) -> Relevance:
    """The questions of the files `examples`, each with its paragraph."""
    rows = _read(source)
    return Relevance.of(pair, (question for question, _ in rows), (paragraph for _, paragraph in rows), source.name)


def passages(source: Source, language: str) -> tuple[str, ...]:
    """The paragraphs of the files `examples`, each once."""
    return tuple(dict.fromkeys(paragraph for _, paragraph in _read(source)))


def _read(source: Source) -> list[tuple[str, str]]:
    return [
        (text_of(row, "question_text", place), text_of(row, "paragraph_text", place))
        for path in source.many("examples")
        for place, row in json_lines(path)
    ]
