"""Collections that the library ir_datasets downloads, verifies and reads; a card names them by their ids there.

The library is imported by the functions that need it. Queries and qrels are read into memory; documents stay in the
store that ir_datasets builds on the disk.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from pydantic import Field

from bench.data import Pair, TestCollection
from bench.data.formats.qrels import Qrels, judged_test
from bench.data.formats.reading import FormatOptions, LazyTexts, Row, Source
from bench.errors import BenchError, MissingFile, pip_install, root_cause
from bench.system import offline


class Datasets(FormatOptions):
    """The ids of datasets of ir_datasets."""

    dataset: str = ""
    """The dataset of all parts that have none of their own."""
    queries: str | None = None
    """The dataset of the queries."""
    documents: str | None = None
    """The dataset of the documents."""
    qrels: str | None = None
    """The dataset of the judgments."""
    field: str | None = None
    """The field of a query that has its text; by default that of ir_datasets."""
    oracles: str | None = None
    """The dataset of the oracle queries, with the same ids."""
    oracle_field: str | None = Field(None, alias="oracle-field")
    """The field of an oracle query that has its text."""
    rows: int | None = Field(None, gt=0)
    """The number of judgments that are used for training; by default all."""


def test(source: Source, pair: Pair, options: Datasets) -> TestCollection:
    """Return the test of the datasets that the options `queries`, `documents` and `qrels` name, by default `dataset`.
    The text of a query is its `field`, by default that of ir_datasets; `oracles` names the dataset of the oracle
    queries of the same ids, with the text `oracle-field`. Raises `MissingFile` if ir_datasets cannot read a part.
    """
    with reading(source):
        # From small to large: a missing part is reported before the documents are read.
        qrels: Qrels = {}
        for row in dataset(source, "qrels").qrels_iter():
            qrels.setdefault(row.query_id, {})[row.doc_id] = int(row.relevance)
        queries = _queries(source, "queries", "field")
        oracles = _queries(source, "oracles", "oracle-field") if options.oracles else None
        documents = dataset(source, "documents").docs_iter()[:]  # a slice builds the store
        ids = tuple(document.doc_id for document in documents[:])
    texts = LazyTexts(len(ids), lambda start, stop: (row.default_text() for row in documents[start:stop]))
    return judged_test(source, pair, queries, ids, texts, qrels, oracles)


def relevance(source: Source, pair: Pair, options: Datasets) -> list[Row]:
    """Return the first `rows` positive judgments of the dataset, each with its query and its document."""
    with reading(source):
        judged = dataset(source, "qrels")
        positive = (row for row in judged.qrels_iter() if row.relevance > 0)
        rows = [(row.query_id, row.doc_id) for row in islice(positive, options.rows)]
        queries = _queries(source, "queries", "field")
        documents = judged.docs_store().get_many({document for _, document in rows})
        return [
            (queries[query], documents[document].default_text(), f"query {query}, document {document}")
            for query, document in rows
            if query in queries and document in documents
        ]


def is_local(source: Source) -> bool:
    """Return True if the first row of each part can be read on this machine; opens no socket."""
    readers = {"qrels": "qrels_iter", "queries": "queries_iter", "documents": "docs_iter", "oracles": "queries_iter"}
    try:
        with reading(source), offline.local_only():
            for part, reader in readers.items():
                if part != "oracles" or part in source.options:
                    next(iter(getattr(dataset(source, part), reader)()), None)
    except BenchError:
        return False
    return True


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turn any error of ir_datasets within the block into one line; it raises errors of many types."""
    try:
        yield
    except (BenchError, MemoryError):
        raise
    except ImportError as error:
        raise MissingFile(
            f"{source.name} needs ir_datasets, which is not installed: {pip_install('ir-datasets')}"
        ) from error
    except Exception as error:
        reason = f"ir_datasets cannot read it: {root_cause(error)}"
        if offline.MESSAGE in str(error):
            reason = f"not downloaded; run bench fetch {source.name}"
        elif isinstance(error, FileNotFoundError):
            reason = f"ir_datasets lacks {error}, which it cannot download; see bench ls datasets {source.name}"
        raise MissingFile(f"{source.name}: {reason}") from error


def dataset(source: Source, part: str) -> Any:
    """Return the dataset that the card names for a part, such as `qrels`."""
    import ir_datasets

    name = source.options.get(part, source.options.get("dataset", ""))
    try:
        return ir_datasets.load(name)
    except KeyError as error:
        raise BenchError(f"{source.name}: ir_datasets has no dataset '{name}', named for {part}") from error


def _queries(source: Source, part: str, field: str) -> Mapping[str, str]:
    """Return texts by query id."""
    name = source.options.get(field)
    return {
        query.query_id: query.default_text() if name is None else getattr(query, name)
        for query in dataset(source, part).queries_iter()
    }
