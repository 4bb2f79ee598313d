"""Leakage: training rows that repeat a text of a test collection, exactly or nearly.

Protected texts are queries, their translations and relevant documents. Training may use other documents of a test
corpus, and sentences of a mining collection outside gold pairs.
"""

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
    """The text on one side of a row that repeats a protected text of the collection `test`.

    The `kind` is exact for equal texts after normalisation. `duplicates`, `word_changes` and `containment` define the
    other kinds and the `similarity`.
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
    """Return the normalised protected texts, each with the ids of its queries."""
    texts: dict[str, set[str]] = defaultdict(set)
    for column in (test.queries, test.oracle_queries or test.queries):
        for key, text in zip(test.query_ids, column, strict=True):
            if not test.tuning or key in test.qrels:
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
    """Return every text of the data that repeats a protected text, by row; `tests` has the protected texts."""
    # Imported here, since cards are listed without numpy.
    from bench.data.containment import containing
    from bench.data.duplicates import near_duplicates
    from bench.data.word_changes import one_word_apart

    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for side, column in enumerate(data.columns[:2]):
        for row, text in enumerate(column):
            places[normalise(text)].append((row, side))
    owners: dict[str, list[str]] = defaultdict(list)
    for test, texts in tests.items():
        for text in texts:
            owners[text].append(test)
    ours, theirs = list(places), sorted(owners)
    pairs: dict[tuple[str, str], tuple[Kind, float]] = {(text, text): ("exact", 1.0) for text in theirs}
    for search in (near_duplicates, one_word_apart, containing):
        for text, other, kind, similarity in search(ours, theirs):
            pairs.setdefault((ours[text], theirs[other]), (kind, similarity))
    leaks = [
        Leak(row, side, test, other, kind, similarity)
        for (text, other), (kind, similarity) in pairs.items()
        for row, side in places.get(text, ())
        for test in owners[other]
    ]
    return sorted(leaks, key=lambda leak: (leak.row, leak.side, leak.test, leak.text))


def remove(data: _Rows, leaks: Iterable[Leak]) -> _Rows:
    """Return the data without the rows that leak."""
    leaked = {leak.row for leak in leaks}
    return data.take(row for row in range(len(data)) if row not in leaked)


def count_rows(leaks: Iterable[Leak], tests: Iterable[str]) -> dict[str, dict[Kind, int]]:
    """Return the number of leaking rows of each test collection by kind. A row counts once."""
    kinds: dict[tuple[str, int], Kind] = {}
    for leak in leaks:
        key = leak.test, leak.row
        kinds[key] = min(leak.kind, kinds.get(key, leak.kind), key=KINDS.index)
    counts = {test: dict.fromkeys(KINDS, 0) for test in tests}
    for (test, _), kind in kinds.items():
        counts[test][kind] += 1
    return counts
