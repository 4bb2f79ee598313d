"""SQuAD's JSON: articles with paragraphs, each a context and the questions that it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data import Relevance
from bench.data.formats.source import Source
from bench.data.formats.text import read, text_of
from bench.errors import BenchError


def relevance(source: Source, language: str) -> Relevance:
    """The questions of the files `articles`, each with its context."""
    rows = [
        (text_of(question, "question", f"{place}.qas[{index}]"), context)
        for place, context, questions in _paragraphs(source)
        for index, question in enumerate(questions)
    ]
    return Relevance(
        language,
        tuple(question for question, _ in rows),
        tuple(context for _, context in rows),
        (source.name,) * len(rows),
    )


def passages(source: Source, language: str) -> tuple[str, ...]:
    """The contexts of the files `articles`, each once."""
    return tuple(dict.fromkeys(context for _, context, _ in _paragraphs(source)))


def _paragraphs(source: Source) -> Iterator[tuple[str, str, list[Any]]]:
    """Place, context and questions of every paragraph."""
    for path in source.many("articles"):
        for article, content in enumerate(_list_of(_load(path), "data", str(path))):
            place = f"{path}: data[{article}]"
            for number, paragraph in enumerate(_list_of(content, "paragraphs", place)):
                here = f"{place}.paragraphs[{number}]"
                yield here, text_of(paragraph, "context", here), _list_of(paragraph, "qas", here)


def _load(path: Path) -> Any:
    try:
        return json.loads(read(path))
    except json.JSONDecodeError as error:
        raise BenchError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise BenchError(f"{path}: not SQuAD's JSON: nested too deeply") from error


def _list_of(value: Any, key: str, place: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise BenchError(f"{place}: not SQuAD's JSON: no list under '{key}'")
    return found
