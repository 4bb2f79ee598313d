"""AfriQA's gold passages: questions in an African language, each with an English or French passage, as JSON Lines."""

from __future__ import annotations

import logging

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import make_test
from bench.data.formats.reading import Source, check_new, json_lines, numbered, text_of
from bench.errors import BenchError

_log = logging.getLogger(__name__)


def test(source: Source, pair: Pair) -> TestCollection:
    """Return the questions of the file `queries` over the distinct contexts of all files `documents`.

    The context of a question is its relevant document, and its human translation is the oracle query. Questions without
    a context are left out, and their number is logged. Raises `BenchError` for a malformed row, a repeated id, and a
    context that is not among the documents.
    """
    contexts = dict.fromkeys(
        text_of(row, "context", place)
        for path in source.many("documents")
        for place, row in json_lines(path)
        if row.get("context")
    )
    numbers = numbered(range(1, len(contexts) + 1), len(contexts), f"{source.name}-")
    ids = dict(zip(contexts, numbers, strict=True))

    queries: dict[str, str] = {}
    oracles: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    without_context = 0
    for place, row in json_lines(source.one("queries")):
        if not row.get("context"):
            without_context += 1
            continue
        key = text_of(row, "id", place)
        check_new(key, queries, place)
        context = text_of(row, "context", place)
        if context not in ids:
            raise BenchError(f"{place}: its context is in none of the files that the card names under 'documents'")
        queries[key] = text_of(row, "question_lang", place)
        oracles[key] = text_of(row, "question_translated", place)
        qrels[key] = {ids[context]: 1}
    if without_context:
        _log.info("%s %s: left out %d questions without a context", source.name, pair, without_context)
    documents = {key: context for context, key in ids.items()}
    return make_test(source, pair, queries, documents, qrels, oracle_queries=tuple(oracles.values()))
