"""BUCC's tab-separated files: an id and a sentence per line, and the ids of the gold pairs of translations."""

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import Qrels, make_test
from bench.data.formats.reading import Source, add_new, rows
from bench.errors import BenchError


def mining(source: Source, pair: Pair) -> TestCollection:
    """Return the task to mine the pairs of the file `gold` from all sentences. The threshold is tuned on every second
    sentence of `queries`. Raises `BenchError` for a malformed line, a repeated id and an unknown sentence.
    """
    queries, documents, gold = _read(source)
    return make_test(source, pair, queries, documents, gold, tuning=tuple(queries)[::2])


def retrieval(source: Source, pair: Pair) -> TestCollection:
    """Return the test with the sentences of `queries` in a gold pair as queries. Errors are those of `mining`."""
    queries, documents, gold = _read(source)
    return make_test(source, pair, {key: queries[key] for key in gold}, documents, gold)


def _read(source: Source) -> tuple[dict[str, str], dict[str, str], Qrels]:
    """Return the sentences of both languages by id, and qrels in the order of the file `gold`."""
    sentences: dict[str, dict[str, str]] = {"queries": {}, "documents": {}}
    for part, known in sentences.items():
        for place, (key, text) in rows(source.one(part), "id", "sentence"):
            add_new(known, key, text, place)
    gold: Qrels = {}
    for place, pair in rows(source.one("gold"), "id", "id"):
        for (part, known), key in zip(sentences.items(), pair, strict=True):
            if key not in known:
                raise BenchError(f"{place}: {source.one(part)} has no sentence '{key}'")
        gold.setdefault(pair[0], {})[pair[1]] = 1
    return sentences["queries"], sentences["documents"], gold
