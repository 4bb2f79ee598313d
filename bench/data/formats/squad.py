"""SQuAD's JSON: articles with paragraphs, each a context and its questions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data import Pair, Relevance, TestCollection
from bench.data.formats.qrels import judge_alike, make_test
from bench.data.formats.reading import Source, check_new, numbered, read, text_of
from bench.errors import BenchError


def relevance(source: Source, pair: Pair) -> Relevance:
    """Return the questions of the files `articles`, each with its context."""
    rows = [
        (text_of(question, "question", f"{place}.qas[{index}]"), context)
        for place, context, questions in _paragraphs(source, "articles")
        for index, question in enumerate(questions)
    ]
    return Relevance.of(pair, (question for question, _ in rows), (context for _, context in rows), source.name)


def passages(source: Source, language: str) -> tuple[str, ...]:
    """Return the distinct contexts of the files `articles`."""
    return tuple(dict.fromkeys(context for _, context, _ in _paragraphs(source, "articles")))


def test(source: Source, pair: Pair) -> TestCollection:
    """Return the questions of the files `queries` over the distinct contexts of the files `documents`.

    The question with the same id in `documents` has the relevant context and is the oracle query, unless both are in
    one language. Questions with equal texts, in either language, share their contexts. Raises `BenchError` for
    malformed JSON, a repeated id, and a question whose id is not among the documents.
    """
    originals: dict[str, tuple[str, str]] = {}
    contexts: dict[str, None] = {}
    for place, context, questions in _paragraphs(source, "documents"):
        contexts[context] = None
        for key, text, where, _ in identified(questions, place):
            check_new(key, originals, where)
            originals[key] = text, context
    numbers = numbered(range(1, len(contexts) + 1), len(contexts), f"{source.name}-")
    ids = dict(zip(contexts, numbers, strict=True))

    queries: dict[str, str] = {}
    for place, _, questions in _paragraphs(source, "queries"):
        for key, text, where, _ in identified(questions, place):
            check_new(key, queries, where)
            if key not in originals:
                raise BenchError(f"{where}: no question has the id '{key}' in the files under 'documents'")
            queries[key] = text
    texts = tuple(queries.values())
    oracles = tuple(originals[key][0] for key in queries)
    qrels = judge_alike(tuple(queries), [ids[originals[key][1]] for key in queries], texts, oracles)
    documents = {key: context for context, key in ids.items()}
    monolingual = pair.query == pair.document
    return make_test(source, pair, queries, documents, qrels, oracle_queries=None if monolingual else oracles)


def paragraphs(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the place (file and keys) and content of every paragraph. Raises `BenchError` for malformed JSON."""
    for article, content in enumerate(list_of(_load(path), "data", str(path))):
        place = f"{path}: data[{article}]"
        for number, paragraph in enumerate(list_of(content, "paragraphs", place)):
            yield f"{place}.paragraphs[{number}]", paragraph


def identified(questions: list[Any], place: str) -> Iterator[tuple[str, str, str, Any]]:
    """Yield the id, text, place and content of every question of a paragraph. Raises `BenchError` as `paragraphs`."""
    for index, question in enumerate(questions):
        where = f"{place}.qas[{index}]"
        yield text_of(question, "id", where), text_of(question, "question", where), where, question


def list_of(value: Any, key: str, place: str) -> list[Any]:
    """Return the list under a key of a JSON object. Raises `BenchError` if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise BenchError(f"{place}: not SQuAD's JSON: no list under '{key}'")
    return found


def _paragraphs(source: Source, part: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield the place, context and questions of every paragraph of the files of a name."""
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
