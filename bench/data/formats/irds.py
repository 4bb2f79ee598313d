"""Collections that the library ir_datasets downloads, verifies and reads; a card names them by their ids there.

It is imported only when one is asked for. Queries and qrels are small and come into memory; documents stay in the store
that ir_datasets builds of them on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from bench import offline
from bench.data import Pair, Relevance, TestCollection
from bench.data.formats.qrels import Qrels, judged_test
from bench.data.formats.reading import LazyTexts, Source
from bench.errors import BenchError, MissingFile, root_cause, unknown

OPTIONS = ("dataset", "queries", "documents", "qrels", "field", "oracles", "oracle-field", "rows")


def test(source: Source, pair: Pair) -> TestCollection:
    """The test collection whose `queries`, `documents` and `qrels` are those of the datasets of these names in the
    card's options, by default all of `dataset`.

    A query's text is its `field`, by default what ir_datasets takes for it. `oracles` is a dataset whose queries have
    the same ids and are the oracle queries, by their `oracle-field`.

    Raises MissingFile for whatever ir_datasets cannot give, be it that the network is forbidden.
    """
    with _reading(source):
        # From small to large: what is not at hand shows before the documents are read.
        qrels: Qrels = {}
        for row in _dataset(source, "qrels").qrels_iter():
            qrels.setdefault(row.query_id, {})[row.doc_id] = int(row.relevance)
        queries = _queries(source, "queries", "field")
        oracles = _queries(source, "oracles", "oracle-field") if "oracles" in source.options else None
        documents = _dataset(source, "documents").docs_iter()[:]  # a slice has it build its store
        ids = tuple(document.doc_id for document in documents[:])
    texts = LazyTexts(len(ids), lambda start, stop: (row.default_text() for row in documents[start:stop]))
    return judged_test(source, pair, queries, (ids, texts), qrels, oracles)


def relevance(source: Source, pair: Pair) -> Relevance:
    """The first `rows` positive judgments of the dataset, each with its query and its document."""
    with _reading(source):
        dataset = _dataset(source, "qrels")
        positive = (row for row in dataset.qrels_iter() if row.relevance > 0)
        rows = [(row.query_id, row.doc_id) for row in islice(positive, source.options.get("rows"))]
        queries = _queries(source, "queries", "field")
        documents = dataset.docs_store().get_many({document for _, document in rows})
        texts = {key: document.default_text() for key, document in documents.items()}
    rows = [(query, document) for query, document in rows if query in queries and document in texts]
    return Relevance.of(
        pair, (queries[query] for query, _ in rows), (texts[document] for _, document in rows), source.name
    )


def numbers(source: Source) -> tuple[int, int, int]:
    """The numbers of queries, documents and positive judgments of a test, which ir_datasets knows without the data.

    Raises MissingFile for a dataset of which it does not know them.
    """
    with _reading(source), offline.local_only():
        grades = _dataset(source, "qrels").qrels_metadata()["fields"]["relevance"]["counts_by_value"]
        queries = _dataset(source, "queries").queries_metadata()["count"]
        documents = _dataset(source, "documents").docs_metadata()["count"]
        return queries, documents, sum(count for grade, count in grades.items() if int(grade) > 0)


def is_local(source: Source) -> bool:
    """Return whether the files of a test, or of relevance judgments, are on this machine; opens no socket.

    It reads the first row of each part, so that a part in several files may still lack some of them.
    """
    readers = {"qrels": "qrels_iter", "queries": "queries_iter", "documents": "docs_iter", "oracles": "queries_iter"}
    try:
        with _reading(source), offline.local_only():
            for part, reader in readers.items():
                if part != "oracles" or part in source.options:
                    next(iter(getattr(_dataset(source, part), reader)()), None)
    except BenchError:
        return False
    return True


@contextmanager
def _reading(source: Source) -> Iterator[None]:
    """Within the block, whatever ir_datasets raises becomes one line: it raises errors of every kind."""
    for name in source.options:
        if name not in OPTIONS:
            raise unknown(f"option of {source.name}", name, OPTIONS)
    try:
        yield
    except (BenchError, MemoryError):
        raise
    except ImportError as error:
        cure = "pip install 'clir-bench[ir-datasets]'"
        raise MissingFile(f"{source.name}: needs the library ir_datasets; install it with {cure}") from error
    except Exception as error:
        reason = f"ir_datasets cannot read it: {root_cause(error)}"
        if offline.MESSAGE in str(error):
            reason = f"not at hand; bench fetch {source.name} has ir_datasets download it"
        elif isinstance(error, FileNotFoundError):
            reason = f"ir_datasets misses {error}, which it does not download; see bench ls datasets {source.name}"
        raise MissingFile(f"{source.name}: {reason}") from error


def _dataset(source: Source, part: str) -> Any:
    """The dataset that the card names for a part, such as `qrels`."""
    import ir_datasets

    name = source.options.get(part, source.options.get("dataset", ""))
    try:
        return ir_datasets.load(name)
    except KeyError as error:
        raise BenchError(f"{source.name}: ir_datasets knows no '{name}', which its card names for {part}") from error


def _queries(source: Source, part: str, field: str) -> Mapping[str, str]:
    """Texts by query id."""
    name = source.options.get(field)
    return {
        query.query_id: query.default_text() if name is None else getattr(query, name)
        for query in _dataset(source, part).queries_iter()
    }
