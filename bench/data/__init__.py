"""What collections are made of: plain, immutable values that every later room shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import chain
from typing import Any, Self

from bench.fingerprint import digest, digest_texts

MULTIPLE = "mul"
"""The document language of a corpus in several languages: ISO 639's code for "multiple languages"."""
READS_TEST = "bench.reads_test"
"""The audit event (`sys.audit`) of reading a test collection, with its name: what no method does."""


@dataclass(frozen=True, order=True)
class Pair:
    """A language pair: queries in `query`, documents in `document` (canonical ISO 639-3 codes)."""

    query: str
    document: str

    @property
    def training(self) -> Pair:
        """The pair that a retriever for this one is trained for.

        Bitext is with English, and so are the judgments: one student per language learns from them, and is evaluated on
        documents in its own language and in many as well.
        """
        return Pair(self.query, "eng") if self.document in (self.query, MULTIPLE) else self

    def __str__(self) -> str:
        return f"{self.query}-{self.document}"


Origin = tuple[str, Pair]
"""A collection, and the languages that its data are in."""


@dataclass(frozen=True)
class Rows:
    """Columns of one length, the first two of them texts: row i is what stands at i in each."""

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns}) > 1:
            raise ValueError(f"the columns of {type(self).__name__} differ in length")

    @property
    def columns(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, rows: Iterable[int]) -> Self:
        """The rows of these numbers, in their order."""
        rows = list(rows)
        return type(self)(*(tuple(column[row] for row in rows) for column in self.columns))

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """The rows of all parts, in order."""
        parts = list(parts)
        return cls(*(tuple(chain.from_iterable(getattr(part, field.name) for part in parts)) for field in fields(cls)))

    @classmethod
    def of(cls, pair: Pair, first: Iterable[str], second: Iterable[str], source: str) -> Self:
        """Rows of one pair and one source."""
        first, second = tuple(first), tuple(second)
        return cls(first, second, (source,) * len(first), (pair,) * len(first))  # type: ignore[call-arg]

    @property
    def origins(self) -> list[Origin]:
        """Where each row comes from."""
        return list(zip(*self.columns[2:], strict=True))

    def between(self, pair: Pair) -> Self:
        """The rows of a pair."""
        return self.take(row for row, (_, other) in enumerate(self.origins) if other == pair)


@dataclass(frozen=True)
class Bitext(Rows):
    """Aligned sentences: row i of `query_side` (a query language) translates row i of `document_side`."""

    query_side: tuple[str, ...]
    document_side: tuple[str, ...]
    sources: tuple[str, ...]
    """The collection each row comes from."""
    pairs: tuple[Pair, ...]
    """The languages of each row: one pair, or several that one student is trained for together."""


@dataclass(frozen=True)
class Relevance(Rows):
    """Judged training pairs: `positives[i]` answers `queries[i]`, in the languages of `pairs[i]`."""

    queries: tuple[str, ...]
    positives: tuple[str, ...]
    sources: tuple[str, ...]
    pairs: tuple[Pair, ...]
    """Often only within the document language, where judgments are plenty."""


@dataclass(frozen=True)
class Ids:
    """The ids of queries and of documents, in the order of their texts."""

    queries: Sequence[str]
    documents: Sequence[str]


@dataclass(frozen=True)
class TestSummary:
    """The facts about a test collection from which a run is planned, without its texts."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    name: str
    pair: Pair
    digest: str
    """The hash of everything in the collection that scoring reads."""
    queries: int
    documents: int
    left_out: int
    has_oracle_queries: bool
    mining: bool
    has_document_languages: bool


@dataclass(frozen=True)
class TestCollection:
    """Queries, documents and qrels of one collection and pair.

    `oracle_queries` are the same queries in the document language (a human translation or
    the original), row by row; None where the collection has none, or where they would be
    the documents themselves.

    In a mining collection, which is one with `tuning`, translations are to be found among all sentences: most
    queries have none, and the qrels are the gold pairs.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    name: str
    pair: Pair
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    document_ids: Sequence[str]
    documents: Sequence[str]
    """Possibly more than memory holds: sliced or iterated in order, single ones looked up, never copied as a whole."""
    qrels: Mapping[str, Mapping[str, int]]
    oracle_queries: tuple[str, ...] | None = None
    left_out: int = 0
    """Queries of the collection that are not among these, because none of its documents is judged relevant to them."""
    tuning: tuple[str, ...] = ()
    """Ids of the queries on which a threshold for mined pairs is tuned; the others are the test."""
    document_languages: Sequence[str] = ()
    """The language of each document where they are in several and translations of each other; else empty."""

    @property
    def mining(self) -> bool:
        return bool(self.tuning)

    def __post_init__(self) -> None:
        if len(self.query_ids) != len(self.queries) or len(self.document_ids) != len(self.documents):
            raise ValueError(f"{self.name}: ids and texts differ in length")
        if self.oracle_queries is not None and len(self.oracle_queries) != len(self.queries):
            raise ValueError(f"{self.name}: oracle queries and queries differ in length")
        if self.document_languages and len(self.document_languages) != len(self.documents):
            raise ValueError(f"{self.name}: documents and their languages differ in number")

    @cached_property
    def digest(self) -> str:
        """The hash of everything in the collection; computed once, for that reads all documents."""
        columns = (
            self.query_ids,
            self.queries,
            self.document_ids,
            self.documents,
            self.oracle_queries or (),
            self.tuning,
            self.document_languages,
        )
        texts = digest_texts(*columns)
        return digest([texts, {query: dict(judged) for query, judged in self.qrels.items()}])

    @property
    def summary(self) -> TestSummary:
        return TestSummary(
            name=self.name,
            pair=self.pair,
            digest=self.digest,
            queries=len(self.queries),
            documents=len(self.documents),
            left_out=self.left_out,
            has_oracle_queries=self.oracle_queries is not None,
            mining=self.mining,
            has_document_languages=bool(self.document_languages),
        )


@dataclass(frozen=True)
class TrainingSummary:
    """The facts about training data from which a run is planned, without their texts."""

    digest: str
    """The hash of the texts and of their languages."""
    bitext: Mapping[str, int]
    """The number of bitext rows of each language pair, such as `swh-eng`."""
    report: Mapping[str, Any]
    """The report of the training data."""


@dataclass(frozen=True)
class TrainingData:
    """All that a method may train on for one pair, or for several together, with what was taken out and why."""

    pairs: tuple[Pair, ...]
    """All of one document language."""
    bitext: Bitext
    relevance: Relevance
    """Within and between the languages of each pair: queries and positives may be in either."""
    validation: Relevance = field(default_factory=lambda: Relevance.join([]))
    """Judgments that no method trains on, for the harness to choose a checkpoint by; none unless that is asked for."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Counts per source, rows removed as leakage per test collection, collections not checked."""

    @cached_property
    def digest(self) -> str:
        """The hash of the texts that are trained on or chosen by, and of their languages."""
        return digest_texts(
            *(
                map(str, column)
                for rows in (self.bitext, self.relevance, self.validation)
                for column in (*rows.columns[:2], rows.pairs)
            )
        )

    @property
    def summary(self) -> TrainingSummary:
        return TrainingSummary(self.digest, dict(Counter(map(str, self.bitext.pairs))), self.report)

    @property
    def document_language(self) -> str:
        return self.pairs[0].document

    @property
    def texts(self) -> list[str]:
        """Every text, on both sides of both kinds of data."""
        return [text for rows in (self.bitext, self.relevance) for column in rows.columns[:2] for text in column]

    @classmethod
    def none(cls, pairs: tuple[Pair, ...]) -> TrainingData:
        """What a method is given that trains on nothing."""
        return cls(pairs, Bitext.join([]), Relevance.join([]))
