"""Test collections, bitext and relevance judgments as immutable values, which all other packages share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import chain
from typing import Any, Literal, Self

from bench.storage.hashing import digest, digest_texts

MULTIPLE = "mul"
"""The document language of a corpus in several languages: ISO 639's code for "multiple languages"."""
READS_TEST = "bench.reads_test"
"""The audit event (`sys.audit`) of reading a test collection, with its name. No method may cause it."""


@dataclass(frozen=True, order=True)
class Pair:
    """A language pair: queries in `query`, documents in `document` (canonical ISO 639-3 codes)."""

    query: str
    document: str

    @property
    def training(self) -> Pair:
        """The pair of the training data for a retriever of this pair.

        Bitext and judgments are with English. The student of a language is also evaluated on documents in its own
        language and in many languages.
        """
        return Pair(self.query, "eng") if self.document in (self.query, MULTIPLE) else self

    def __str__(self) -> str:
        return f"{self.query}-{self.document}"


Origin = tuple[str, Pair]
"""A collection, and the languages of its data."""


@dataclass(frozen=True)
class Rows:
    """Rows of two texts, with the collection and the languages of each row."""

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns}) > 1:
            raise ValueError(f"the columns of {type(self).__name__} differ in length")

    @property
    def columns(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def origins(self) -> list[Origin]:
        """The origin of each row."""
        return list(zip(*self.columns[2:], strict=True))

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, rows: Iterable[int]) -> Self:
        """Return the rows with these numbers, in this order."""
        rows = list(rows)
        return type(self)(*(tuple(column[row] for row in rows) for column in self.columns))

    def between(self, pair: Pair) -> Self:
        """Return the rows of a pair."""
        return self.take(row for row, other in enumerate(self.columns[3]) if other == pair)

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Return the rows of all parts, in order."""
        parts = list(parts)
        return cls(*(tuple(chain.from_iterable(getattr(part, field.name) for part in parts)) for field in fields(cls)))

    @classmethod
    def of(cls, pair: Pair, first: Iterable[str], second: Iterable[str], source: str) -> Self:
        """Return rows of one pair and one source."""
        first, second = tuple(first), tuple(second)
        return cls(first, second, (source,) * len(first), (pair,) * len(first))  # type: ignore[call-arg]


@dataclass(frozen=True)
class Bitext(Rows):
    """Aligned sentences: row i of `query_side` (a query language) translates row i of `document_side`.

    `pairs` has one pair, or several if one student is trained for them together.
    """

    query_side: tuple[str, ...]
    document_side: tuple[str, ...]
    sources: tuple[str, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Relevance(Rows):
    """Judged training pairs: `positives[i]` answers `queries[i]`, in the languages of `pairs[i]`.

    Most judgments are in the document language.
    """

    queries: tuple[str, ...]
    positives: tuple[str, ...]
    sources: tuple[str, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Ids:
    """The ids of queries and of documents, in the order of their texts."""

    queries: Sequence[str]
    documents: Sequence[str]


TaskName = Literal["retrieval", "multilingual retrieval", "bitext mining"]
"""The kinds of test collections (`bench.evaluation.tasks`)."""


@dataclass(frozen=True)
class TestSummary:
    """Facts about a test collection for planning, without its texts."""

    __test__ = False  # not a test class of pytest

    name: str
    pair: Pair
    digest: str
    """The hash of everything in the collection that affects scores."""
    queries: int
    documents: int
    left_out: int
    has_oracle_queries: bool
    task: TaskName
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Messages about irregular files and left-out queries."""
        notes = list(self.remarks)
        if self.left_out:
            of = f"{self.left_out:,} of {self.left_out + self.queries:,} queries"
            notes.append(f"left out {of}: no document is judged relevant to them")
        return [f"{self.name} {self.pair}: {note}" for note in notes]


@dataclass(frozen=True)
class TestCollection:
    """Queries, documents and qrels of one collection and pair.

    `oracle_queries` are the same queries in the document language (a human translation or the original), row by row.
    They are None if the collection has none, or if they are equal to the documents.

    In bitext mining, most queries have no relevant document, and the qrels are the gold pairs.
    """

    __test__ = False  # not a test class of pytest

    name: str
    pair: Pair
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    document_ids: Sequence[str]
    documents: Sequence[str]
    """Texts that may exceed memory: use slices, iteration in order and single rows, and never copy all."""
    qrels: Mapping[str, Mapping[str, int]]
    oracle_queries: tuple[str, ...] | None = None
    left_out: int = 0
    """Number of left-out queries without a relevant document."""
    remarks: tuple[str, ...] = ()
    """Messages about irregular files, such as "3 documents are empty"."""
    tuning: tuple[str, ...] = ()
    """Ids of the queries for tuning the threshold of bitext mining; empty in other tasks."""
    document_languages: Sequence[str] = ()
    """The language of each document in multilingual retrieval; empty in other tasks."""

    @property
    def task(self) -> TaskName:
        if self.tuning:
            return "bitext mining"
        return "multilingual retrieval" if self.document_languages else "retrieval"

    def __post_init__(self) -> None:
        queries = (self.query_ids, self.queries, self.queries if self.oracle_queries is None else self.oracle_queries)
        documents = (self.document_ids, self.documents, self.document_languages or self.documents)
        if any(len(set(map(len, columns))) > 1 for columns in (queries, documents)):
            raise ValueError(f"{self.name}: ids, texts, oracle queries or languages differ in length")

    @cached_property
    def digest(self) -> str:
        """The hash of the collection, computed once, since it reads all documents."""
        columns = (self.query_ids, self.queries, self.document_ids, self.documents)
        texts = digest_texts(*columns, self.oracle_queries or (), self.tuning, self.document_languages)
        return digest([texts, {query: dict(judged) for query, judged in self.qrels.items()}])

    @property
    def summary(self) -> TestSummary:
        sizes = len(self.queries), len(self.documents), self.left_out
        return TestSummary(
            self.name, self.pair, self.digest, *sizes, self.oracle_queries is not None, self.task, self.remarks
        )


@dataclass(frozen=True)
class TrainingSummary:
    """Facts about training data for planning, without texts."""

    digest: str
    bitext: Mapping[str, int]
    """Number of bitext rows of each language pair, such as `swh-eng`."""
    report: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingData:
    """The training data of one or several pairs, with a report."""

    pairs: tuple[Pair, ...]
    """Bitext with one document language."""
    bitext: Bitext
    relevance: Relevance
    """Judgments in and between the languages of each pair."""
    validation: Relevance = field(default_factory=lambda: Relevance.join([]))
    """Held-out judgments for the selection of a checkpoint; empty by default."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Counts per source, rows removed as leakage per test collection, collections not checked."""

    @cached_property
    def digest(self) -> str:
        """The hash of all texts and languages, with the validation."""
        rows = (self.bitext, self.relevance, self.validation)
        return digest_texts(*(map(str, column) for part in rows for column in (*part.columns[:2], part.pairs)))

    @property
    def summary(self) -> TrainingSummary:
        return TrainingSummary(self.digest, dict(Counter(map(str, self.bitext.pairs))), self.report)

    @property
    def document_language(self) -> str:
        return self.pairs[0].document

    def texts(self, *, query_languages: bool) -> list[str]:
        """Return all texts of bitext and relevance in the query languages, or in the document language."""
        return [
            text
            for rows in (self.bitext, self.relevance)
            for first, second, pair in zip(*rows.columns[:2], rows.pairs, strict=True)
            for text, language in ((first, pair.query), (second, pair.document))
            if (language != self.document_language) == query_languages
        ]

    @classmethod
    def none(cls, pairs: tuple[Pair, ...]) -> TrainingData:
        """Return empty data, for methods without training."""
        return cls(pairs, Bitext.join([]), Relevance.join([]))
