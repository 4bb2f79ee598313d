"""XNLI's tab-separated files: a premise, a hypothesis and, in its labelled part, a label per line.

Lines correspond across languages. Each premise occurs in several lines, with one hypothesis each. Premises are
identified and numbered in English, because two premises may have equal translations. XNLI as retrieval is an idea of
this project.
"""

from __future__ import annotations

from pathlib import Path

from bench.data import Bitext, Pair, Relevance, TestCollection
from bench.data.formats.qrels import judge_alike, make_test
from bench.data.formats.reading import Source, numbered, rows
from bench.errors import BenchError, unknown

_LABELS = ("entailment", "neutral", "contradiction")
_Rows = list[list[str]]


def premises(source: Source, pair: Pair) -> TestCollection:
    """Return the test with the premises of the file `queries` as queries, and the English premises of `documents`.

    There is one query per English premise, so all languages have the same queries. Queries with equal texts share their
    relevant documents. There are no oracle queries, because they would be the relevant documents. Raises `BenchError`
    for a malformed line, and if the two files do not correspond.
    """
    queries, documents, starts = _read(source.one("queries"), source.one("documents"), labelled=False)
    ids = numbered(range(1, len(starts) + 1), len(starts))
    texts, premises = ([column[row][0] for row in starts] for column in (queries, documents))
    asked, corpus = (dict(zip(ids, column, strict=True)) for column in (texts, premises))
    return make_test(source, pair, asked, corpus, judge_alike(ids, ids, texts))


def entailment(source: Source, pair: Pair) -> TestCollection:
    """Return the test with the entailed hypotheses of the labelled file `queries` as queries, and English premises.

    The corpus is the premises of the file `documents` that the card's options choose. Document ids are numbers of
    premises, query ids line numbers. The English hypotheses are the oracle queries. All premises labelled as entailing
    a hypothesis, in either language, are relevant to it. Raises `BenchError` for a malformed line or option, and if the
    two files do not correspond.
    """
    queries, documents, starts = _read(source.one("queries"), source.one("documents"), labelled=True)
    chosen = _chosen(source, len(starts))
    rows = _entailed(documents, starts, chosen)
    document_ids = dict(zip(chosen, numbered([number + 1 for number in chosen], len(starts)), strict=True))
    query_ids = numbered([row + 1 for row, _ in rows], len(documents))
    hypotheses = tuple(queries[row][1] for row, _ in rows)
    oracles = tuple(documents[row][1] for row, _ in rows)
    asked = dict(zip(query_ids, hypotheses, strict=True))
    premises = {key: documents[starts[number]][0] for number, key in document_ids.items()}
    qrels = judge_alike(query_ids, [document_ids[number] for _, number in rows], hypotheses, oracles)
    return make_test(source, pair, asked, premises, qrels, oracle_queries=oracles)


def bitext(source: Source, pair: Pair) -> Bitext:
    """Return the premises that the card's options choose, each followed by its entailed hypotheses, in two languages.

    They come from the labelled files `queries` and `documents`. The file `english` numbers the premises. Errors are
    those of `entailment`.
    """
    queries, documents, starts, chosen, entailed = _read_training(source)
    cells = [(number, starts[number], 0) for number in chosen]
    cells += [(number, row, 1) for row, number in entailed]
    cells.sort(key=lambda cell: cell[0])  # stable: the premise comes before its hypotheses
    return source.bitext(pair, ((queries[row][column], documents[row][column]) for _, row, column in cells))


def relevance(source: Source, pair: Pair) -> Relevance:
    """Return the hypotheses entailed by the premises that the card's options choose, each with its premise.

    Hypotheses come from the labelled file `queries`, premises from `documents`, in one language or in two. Errors are
    those of `bitext`.
    """
    queries, documents, _, _, entailed = _read_training(source)
    return source.relevance(pair, ((queries[row][1], documents[row][0]) for row, _ in entailed))


def _read_training(source: Source) -> tuple[_Rows, _Rows, list[int], range, list[tuple[int, int]]]:
    """Return the rows of both files, the first row of every premise, the chosen premises and the entailed rows."""
    queries, english, starts = _read(source.one("queries"), source.one("english"), labelled=True)
    documents = _read(source.one("documents"), source.one("english"), labelled=True)[0]
    chosen = _chosen(source, len(starts))
    return queries, documents, starts, chosen, _entailed(english, starts, chosen)


def _read(path: Path, english: Path, *, labelled: bool) -> tuple[_Rows, _Rows, list[int]]:
    """Return the rows of a file and of its English counterpart, and the first row of every English premise."""
    rows, reference = _rows(path, labelled), _rows(english, labelled)
    if len(rows) != len(reference):
        raise BenchError(f"{path} has {len(rows)} lines, but {english} has {len(reference)}; they must correspond")
    starts: dict[str, int] = {}
    for number, (row, other) in enumerate(zip(rows, reference, strict=True)):
        start = starts.setdefault(other[0], number)
        if row[0] != rows[start][0]:
            raise BenchError(
                f"{path}: line {number + 1}: not the premise of line {start + 1}, but {english} has the same in both"
            )
        if row[2:] != other[2:]:
            raise BenchError(f"{path}: line {number + 1}: the label '{row[2]}' is '{other[2]}' in {english}")
    return rows, reference, list(starts.values())


def _rows(path: Path, labelled: bool) -> _Rows:
    found = []
    for place, row in rows(path, "premise", "hypothesis", *(["label"] if labelled else [])):
        if labelled and row[2] not in _LABELS:
            raise BenchError(f"{place}: the label '{row[2]}' is none of {', '.join(_LABELS)}")
        found.append(row)
    return found


def _chosen(source: Source, count: int) -> range:
    """Return the premises, counted from 0, from the option `first` to `last`, which count from 1."""
    for name in source.options:
        if name not in ("first", "last"):
            raise unknown(f"option of {source.name}", name, ("first", "last"))
    first, last = source.options.get("first", 1), source.options.get("last", count)
    if not (type(first) is int and type(last) is int and 1 <= first <= last <= count):
        raise BenchError(f"{source.name}: options: {first} to {last} are not premises; there are {count}")
    return range(first - 1, last)


def _entailed(english: _Rows, starts: list[int], chosen: range) -> list[tuple[int, int]]:
    """Return the row and premise, both counted from 0, of the entailed hypotheses of the chosen premises."""
    numbers = {english[start][0]: number for number, start in enumerate(starts)}
    found = ((row, numbers[premise]) for row, (premise, _, label) in enumerate(english) if label == "entailment")
    return [(row, number) for row, number in found if number in chosen]
