"""Train/test leakage: training rows that repeat a text which a test collection judges by, exactly or nearly.

Only queries, their oracle translations and the documents judged relevant are protected. The other
documents of a test corpus are passages that anybody may have read, and so are the sentences of a mining collection
that are in no gold pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from bench.data import Rows, TestCollection
from bench.data.normalise import normalise

_Rows = TypeVar("_Rows", bound=Rows)

Kind = Literal["exact", "near", "contained"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Leak:
    """The text on one side of a training row that repeats a protected text of the test collection `test`.

    `kind` is "exact" for texts that are equal once normalised; `bench.data.duplicates` says what "near" and "contained"
    are, and their `similarity`.
    """

    row: int
    side: int
    """0 for the query side, 1 for the document side."""
    test: str
    text: str
    """The protected text, normalised."""
    kind: Kind
    similarity: float


def protected(test: TestCollection) -> dict[str, frozenset[str]]:
    """The normalised texts that no training row may repeat; with each the ids of the queries that are judged by it."""
    texts: dict[str, set[str]] = defaultdict(set)
    for column in (test.queries, test.oracle_queries or test.queries):
        for key, text in zip(test.query_ids, column, strict=True):
            if not test.mining or key in test.qrels:
                texts[normalise(text)].add(key)
    judged: dict[str, set[str]] = defaultdict(set)
    for key, grades in test.qrels.items():
        for document, grade in grades.items():
            if grade > 0:
                judged[document].add(key)
    for row, document in enumerate(test.document_ids):
        if document in judged:
            texts[normalise(test.documents[row])] |= judged[document]
    return {text: frozenset(queries) for text, queries in texts.items() if text}


def find_leaks(data: Rows, tests: Mapping[str, Collection[str]]) -> list[Leak]:
    """Every text of the data, on either side, that repeats a protected text, by row.

    `tests` maps a test collection's name to its protected texts.
    """
    from bench.data.duplicates import near_duplicates  # here, because cards are listed without numpy

    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for side, column in enumerate(data.columns[:2]):
        for row, text in enumerate(column):
            places[normalise(text)].append((row, side))
    owners: dict[str, list[str]] = defaultdict(list)
    for test, texts in tests.items():
        for text in texts:
            owners[text].append(test)
    ours, theirs = list(places), sorted(owners)
    found: list[tuple[str, str, Kind, float]] = [(text, text, "exact", 1.0) for text in theirs if text in places]
    near = [(ours[text], theirs[other], kind, value) for text, other, kind, value in near_duplicates(ours, theirs)]
    found += [pair for pair in near if pair[0] != pair[1]]
    leaks = [
        Leak(row, side, test, other, kind, similarity)
        for text, other, kind, similarity in found
        for row, side in places[text]
        for test in owners[other]
    ]
    return sorted(leaks, key=lambda leak: (leak.row, leak.side, leak.test, leak.text))


def remove(data: _Rows, leaks: Iterable[Leak]) -> _Rows:
    """The data without the rows that leak."""
    leaked = {leak.row for leak in leaks}
    return data.take(row for row in range(len(data)) if row not in leaked)


def count_rows(leaks: Iterable[Leak], tests: Iterable[str]) -> dict[str, dict[Kind, int]]:
    """How many rows each test collection objects to, by kind; a row counts once for each, by the first of its kinds."""
    kinds: dict[tuple[str, int], Kind] = {}
    for leak in leaks:
        key = leak.test, leak.row
        kinds[key] = min(leak.kind, kinds.get(key, leak.kind), key=KINDS.index)
    counts = {test: dict.fromkeys(KINDS, 0) for test in tests}
    for (test, _), kind in kinds.items():
        counts[test][kind] += 1
    return counts
