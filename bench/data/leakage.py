"""Train/test leakage: training rows that contain a text which a test collection judges by.

Only queries, their oracle translations and the documents judged relevant are protected. The other
documents of a test corpus are passages that anybody may have read, and so are the sentences of a mining collection
that are in no gold pair.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from bench.data import Bitext, Relevance, TestCollection


class _Folding(dict[int, str]):
    """Per character: nothing for invisible format characters, a space for punctuation, white space and controls."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        category = unicodedata.category(character)
        self[codepoint] = "" if category == "Cf" else " " if category[0] in "PZC" else character
        return self[codepoint]


_FOLDING = _Folding()


def normalise(text: str) -> str:
    """The text without what two copies of one sentence may differ in: compatibility forms, case, punctuation, space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING).split())


def protected(test: TestCollection) -> frozenset[str]:
    """The normalised texts of a test collection that no training row may contain."""
    relevant = {document for judged in test.qrels.values() for document, grade in judged.items() if grade > 0}
    documents = (test.documents[row] for row, key in enumerate(test.document_ids) if key in relevant)
    asked = zip(test.query_ids, test.queries, strict=True)
    queries = (text for key, text in asked if not test.mining or key in test.qrels)
    texts = {normalise(text) for text in (*queries, *(test.oracle_queries or ()), *documents)}
    return frozenset(texts - {""})


def remove_bitext(bitext: Bitext, tests: Mapping[str, AbstractSet[str]]) -> tuple[Bitext, dict[str, int]]:
    """The bitext without the rows that have a protected text on either side.

    `tests` maps a test collection's name to its protected texts. Also returns how many rows each test
    collection objects to; a row that two object to counts for both.
    """
    keep, counts = _clean_rows((bitext.query_side, bitext.document_side), tests)
    kept = Bitext(_take(bitext.query_side, keep), _take(bitext.document_side, keep), _take(bitext.sources, keep))
    return kept, counts


def remove_relevance(relevance: Relevance, tests: Mapping[str, AbstractSet[str]]) -> tuple[Relevance, dict[str, int]]:
    """The relevance data without the rows whose query or positive is protected; counts as in `remove_bitext`."""
    keep, counts = _clean_rows((relevance.queries, relevance.positives), tests)
    kept = Relevance(
        relevance.language,
        _take(relevance.queries, keep),
        _take(relevance.positives, keep),
        _take(relevance.sources, keep),
    )
    return kept, counts


def _clean_rows(
    columns: tuple[Sequence[str], Sequence[str]], tests: Mapping[str, AbstractSet[str]]
) -> tuple[list[int], dict[str, int]]:
    """Indices of the rows that no test collection objects to, and the number that each objects to."""
    counts = dict.fromkeys(tests, 0)
    keep = []
    for row, texts in enumerate(zip(*columns, strict=True)):
        sides = {normalise(text) for text in texts}
        objecting = [test for test, texts_of_test in tests.items() if not sides.isdisjoint(texts_of_test)]
        for test in objecting:
            counts[test] += 1
        if not objecting:
            keep.append(row)
    return keep, counts


def _take(column: Sequence[str], rows: Iterable[int]) -> tuple[str, ...]:
    return tuple(column[row] for row in rows)
