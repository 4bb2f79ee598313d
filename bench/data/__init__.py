"""What collections are made of: plain, immutable values that every later room shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.fingerprint import digest, digest_texts

MULTIPLE = "mul"
"""The document language of a corpus in several languages: ISO 639's code for "multiple languages"."""


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


@dataclass(frozen=True)
class Bitext:
    """Aligned sentences: row i of `query_side` (the query language) translates row i of `document_side`."""

    query_side: tuple[str, ...]
    document_side: tuple[str, ...]
    sources: tuple[str, ...]
    """The collection each row comes from."""

    def __post_init__(self) -> None:
        if not len(self.query_side) == len(self.document_side) == len(self.sources):
            raise ValueError("the sides of a bitext differ in length")

    def __len__(self) -> int:
        return len(self.query_side)


@dataclass(frozen=True)
class Relevance:
    """Judged training pairs: `positives[i]`, in the document language of the pair, answers `queries[i]`."""

    pair: Pair
    queries: tuple[str, ...]
    positives: tuple[str, ...]
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.queries) == len(self.positives) == len(self.sources):
            raise ValueError("the columns of relevance data differ in length")

    def __len__(self) -> int:
        return len(self.queries)


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

    @property
    def mining(self) -> bool:
        return bool(self.tuning)

    def __post_init__(self) -> None:
        if len(self.query_ids) != len(self.queries) or len(self.document_ids) != len(self.documents):
            raise ValueError(f"{self.name}: ids and texts differ in length")
        if self.oracle_queries is not None and len(self.oracle_queries) != len(self.queries):
            raise ValueError(f"{self.name}: oracle queries and queries differ in length")

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
        )
        texts = digest_texts(*columns)
        return digest([texts, {query: dict(judged) for query, judged in self.qrels.items()}])


@dataclass(frozen=True)
class TrainingData:
    """All that a method may train on for one pair, with what was taken out of it and why."""

    pair: Pair
    bitext: Bitext
    relevance: Relevance
    report: Mapping[str, object] = field(default_factory=dict)
    """Counts per source, rows removed as leakage per test collection, collections not checked."""

    @classmethod
    def none(cls, pair: Pair) -> TrainingData:
        """What a method is given that trains on nothing."""
        return cls(pair, Bitext((), (), ()), Relevance(Pair(pair.document, pair.document), (), (), ()))
