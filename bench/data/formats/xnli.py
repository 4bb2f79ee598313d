"""XNLI's tab-separated files: a premise, a hypothesis and, in its labelled part, a label per line.

Lines correspond across languages. Each premise occurs in several lines, with one hypothesis each. Premises are
identified and numbered in English, because two premises may have equal translations. XNLI as retrieval is an idea of
this project.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import Field

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import judge_alike, make_test
from bench.data.formats.reading import FormatOptions, Row, Source, numbered, rows
from bench.errors import BenchError

_LABELS = ("entailment", "neutral", "contradiction")
_Lines = list[list[str]]


class Premises(FormatOptions):
    """The chosen premises, counted from 1."""

    first: int = Field(1, gt=0, strict=True)
    """The first premise."""
    last: int | None = Field(None, gt=0, strict=True)
    """The last premise; by default that of the files."""


class _Premises(NamedTuple):
    """The premises of the English lines; premises and lines are counted from 0."""

    of: list[int]
    """The premise of each line."""
    starts: list[int]
    """The first line of each premise."""
    chosen: range
    """The premises that the card's options choose."""
    entailed: list[int]
    """The lines with an entailed hypothesis of a chosen premise."""


def premises(source: Source, pair: Pair) -> TestCollection:
    """Return the test with the premises of the file `queries`, one per English premise, as queries and the English
    premises of `documents`. Queries with equal texts share their relevant documents. Raises `BenchError` for a
    malformed line, and if the two files do not correspond.
    """
    (queries, documents), premises = _read(source, Premises(), "queries", "documents", labelled=False)
    asked, corpus = (numbered(lines[start][0] for start in premises.starts) for lines in (queries, documents))
    return make_test(source, pair, asked, corpus, judge_alike(asked, list(corpus), list(asked.values())))


def entailment(source: Source, pair: Pair, options: Premises) -> TestCollection:
    """Return the test with the entailed hypotheses of the labelled file `queries` as queries, and the English premises
    of `documents` that the options choose. All premises labelled as entailing a hypothesis, in either language, are
    relevant. Raises `BenchError` for a malformed line or option, and if the files do not correspond.
    """
    (queries, documents), premises = _read(source, options, "queries", "documents")
    hypotheses = list(numbered(hypothesis for _, hypothesis, _ in queries).items())
    texts = list(numbered(documents[start][0] for start in premises.starts).items())
    asked = dict(hypotheses[line] for line in premises.entailed)
    oracles = tuple(documents[line][1] for line in premises.entailed)
    relevant = [texts[premises.of[line]][0] for line in premises.entailed]
    qrels = judge_alike(asked, relevant, list(asked.values()), oracles)
    corpus = dict(texts[number] for number in premises.chosen)
    return make_test(source, pair, asked, corpus, qrels, oracle_queries=oracles)


def bitext(source: Source, pair: Pair, options: Premises) -> Iterator[Row]:
    """Yield each chosen premise, followed by its entailed hypotheses, from the labelled files `queries` and
    `documents`. The file `english` numbers the premises. Errors are those of `entailment`.
    """
    (queries, documents, _), premises = _read(source, options, "queries", "documents", "english")
    cells = [(number, premises.starts[number], 0) for number in premises.chosen]
    cells += [(premises.of[line], line, 1) for line in premises.entailed]
    cells.sort(key=lambda cell: cell[0])  # stable: the premise comes before its hypotheses
    return ((queries[line][column], documents[line][column], f"line {line + 1}") for _, line, column in cells)


def relevance(source: Source, pair: Pair, options: Premises) -> Iterator[Row]:
    """Yield the hypotheses, from the labelled file `queries`, that the chosen premises entail, each with its premise
    from `documents`, in one language or two. Errors are those of `bitext`.
    """
    (queries, documents, _), premises = _read(source, options, "queries", "documents", "english")
    return ((queries[line][1], documents[line][0], f"line {line + 1}") for line in premises.entailed)


def _read(source: Source, options: Premises, *parts: str, labelled: bool = True) -> tuple[list[_Lines], _Premises]:
    """Return the lines of each file, which correspond, and the premises of the last, which is English."""
    paths = [source.one(part) for part in parts]
    columns = ("premise", "hypothesis", *(["label"] if labelled else []))
    files: list[_Lines] = [[] for _ in parts]
    for path, lines in zip(paths, files, strict=True):
        for place, row in rows(path, *columns):
            if labelled and row[2] not in _LABELS:
                raise BenchError(f"{place}: the label '{row[2]}' is none of {', '.join(_LABELS)}")
            lines.append(row)
    english = files[-1]
    starts: dict[str, int] = {}
    for line, (premise, *_) in enumerate(english):
        starts.setdefault(premise, line)
    for path, lines in zip(paths, files, strict=True):
        if len(lines) != len(english):
            raise BenchError(f"{path} has {len(lines)} lines, but {paths[-1]} has {len(english)}; they must correspond")
        for number, (row, other) in enumerate(zip(lines, english, strict=True), start=1):
            place, start = f"{path}: line {number}", starts[other[0]]
            if row[0] != lines[start][0]:
                raise BenchError(f"{place}: not the premise of line {start + 1}, but {paths[-1]} has the same in both")
            if row[2:] != other[2:]:
                raise BenchError(f"{place}: the label '{row[2]}' is '{other[2]}' in {paths[-1]}")
    numbers = {premise: number for number, premise in enumerate(starts)}
    of, chosen = [numbers[premise] for premise, *_ in english], _chosen(source.name, options, len(starts))
    entailed = [line for line, row in enumerate(english) if row[2:] == ["entailment"] and of[line] in chosen]
    return files, _Premises(of, list(starts.values()), chosen, entailed)


def _chosen(name: str, options: Premises, count: int) -> range:
    """Return the chosen premises, counted from 0."""
    first, last = options.first, options.last or count
    if not first <= last <= count:
        raise BenchError(f"{name}: options: {first} to {last} are not premises; there are {count}")
    return range(first - 1, last)
