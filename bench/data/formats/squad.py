"""SQuAD's JSON: articles with paragraphs, each a context and the questions that it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data import Pair, Relevance, TestCollection
from bench.data.formats.judgments import judge_alike
from bench.data.formats.source import Source
from bench.data.formats.text import read, text_of
from bench.errors import BenchError


def relevance(source: Source, pair: Pair) -> Relevance:
    """The questions of the files `articles`, each with its context."""
    rows = [
        (text_of(question, "question", f"{place}.qas[{index}]"), context)
        for place, context, questions in _paragraphs(source, "articles")
        for index, question in enumerate(questions)
    ]
    return Relevance.of(pair, (question for question, _ in rows), (context for _, context in rows), source.name)


def passages(source: Source, language: str) -> tuple[str, ...]:
    """The contexts of the files `articles`, each once."""
    return tuple(dict.fromkeys(context for _, context, _ in _paragraphs(source, "articles")))


def test(source: Source, pair: Pair) -> TestCollection:
    """The questions of the files `queries` over the contexts of the files `documents`, each context once.

    The relevant document is the context of the question with the same id among the `documents`, and the text
    of that question is the oracle query, unless both are in one language; questions that read the same, in either
    language, share their contexts. Raises BenchError for what is not SQuAD's JSON, an id that occurs twice, and a
    question whose id is not among the documents.
    """
    originals: dict[str, tuple[str, str]] = {}
    contexts: dict[str, None] = {}
    for place, context, questions in _paragraphs(source, "documents"):
        contexts[context] = None
        for key, text, where, _ in identified(questions, place):
            if key in originals:
                raise BenchError(f"{where}: the id '{key}' occurs twice")
            originals[key] = text, context
    width = len(str(len(contexts)))
    ids = {context: f"{source.name}-{number:0{width}d}" for number, context in enumerate(contexts, start=1)}

    queries: dict[str, str] = {}
    for place, _, questions in _paragraphs(source, "queries"):
        for key, text, where, _ in identified(questions, place):
            if key in queries:
                raise BenchError(f"{where}: the id '{key}' occurs twice")
            if key not in originals:
                raise BenchError(f"{where}: no question has the id '{key}' in the files under 'documents'")
            queries[key] = text
    texts = tuple(queries.values())
    oracles = tuple(originals[key][0] for key in queries)
    return TestCollection(
        name=source.name,
        pair=pair,
        query_ids=tuple(queries),
        queries=texts,
        document_ids=tuple(ids.values()),
        documents=tuple(ids),
        qrels=judge_alike(tuple(queries), [ids[originals[key][1]] for key in queries], texts, oracles),
        oracle_queries=oracles if pair.query != pair.document else None,
    )


def paragraphs(path: Path) -> Iterator[tuple[str, Any]]:
    """Place (file and keys, for error messages) and content of every paragraph of a file.

    Raises BenchError for what is not SQuAD's JSON.
    """
    for article, content in enumerate(list_of(_load(path), "data", str(path))):
        place = f"{path}: data[{article}]"
        for number, paragraph in enumerate(list_of(content, "paragraphs", place)):
            yield f"{place}.paragraphs[{number}]", paragraph


def identified(questions: list[Any], place: str) -> Iterator[tuple[str, str, str, Any]]:
    """Id, text, place and content of every question of the paragraph at a place; raises BenchError as `paragraphs`."""
    for index, question in enumerate(questions):
        where = f"{place}.qas[{index}]"
        yield text_of(question, "id", where), text_of(question, "question", where), where, question


def list_of(value: Any, key: str, place: str) -> list[Any]:
    """The list under a key of a JSON object; raises BenchError, naming the place, if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise BenchError(f"{place}: not SQuAD's JSON: no list under '{key}'")
    return found


def _paragraphs(source: Source, part: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Place, context and questions of every paragraph of the files under a name."""
    for path in source.many(part):
        for place, paragraph in paragraphs(path):
            yield place, text_of(paragraph, "context", place), list_of(paragraph, "qas", place)


def _load(path: Path) -> Any:
    try:
        return json.loads(read(path))
    except json.JSONDecodeError as error:
        raise BenchError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise BenchError(f"{path}: not SQuAD's JSON: nested too deeply") from error
