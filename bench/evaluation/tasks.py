"""Tasks of test collections: retrieval, multilingual retrieval and bitext mining, each with its search and measures.

Nothing heavy is imported here, because every plan needs the tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.data import Ids, TaskName, TestCollection, TestSummary
from bench.evaluation import measures

if TYPE_CHECKING:
    import numpy as np

    from bench.evaluation.run import Run

Scores = dict[str, dict[str, float]]
"""Measure -> query id -> value."""
TOP = 10
"""Documents per query whose languages are counted."""


class Retrieval:
    """Rank the documents for each query."""

    restriction = ""
    """A line for the user about the scorings that the task does not support."""

    def scorings(self, requested: Sequence[str], supported: Sequence[str]) -> tuple[str, ...]:
        """Return the requested scorings that a retriever supports, or else all that it supports."""
        return tuple(name for name in requested if name in supported) or tuple(supported)

    def measures(self, requested: Sequence[str]) -> tuple[str, ...]:
        """Return the measures of a collection of this task."""
        return tuple(requested)

    def search(self, query_vectors: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids, depth: int) -> Run:
        """Return the run of embeddings. Arguments and errors are those of `bench.evaluation.retrieval.search`."""
        from bench.evaluation.retrieval import search

        return search(query_vectors, blocks, ids, depth)

    def score(self, run: Run, test: TestCollection, names: Sequence[str]) -> Scores:
        """Return the values of these measures for every judged query."""
        return measures.score(run, test.qrels, names)

    def describe(self, run: Run, test: TestCollection) -> dict[str, Any]:
        """Return what a cell's manifest has about the run besides its scores."""
        return {}


class MultilingualRetrieval(Retrieval):
    """Rank documents in several languages; relevant documents are translations of each other.

    A retriever without language bias ranks a query's relevant documents side by side, whatever their languages, and
    retrieves no more from a language than its share of the documents.
    """

    def measures(self, requested: Sequence[str]) -> tuple[str, ...]:
        return (*requested, *measures.BIAS)

    def score(self, run: Run, test: TestCollection, names: Sequence[str]) -> Scores:
        plain = [name for name in names if name not in measures.BIAS]
        found = super().score(run, test, plain) if plain else {}
        return found | (bias(run, test) if len(plain) < len(names) else {})

    def describe(self, run: Run, test: TestCollection) -> dict[str, Any]:
        return {"languages": language_shares(run, test)}


class BitextMining:
    """Find the pairs of sentences that translate each other; see `bench.evaluation.mining`."""

    restriction = "bitext mining supports single-vector scoring only"

    def scorings(self, requested: Sequence[str], supported: Sequence[str]) -> tuple[str, ...]:
        return ("single-vector",) if "single-vector" in supported else ()

    def measures(self, requested: Sequence[str]) -> tuple[str, ...]:
        return tuple(measures.MINING)

    def search(self, query_vectors: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids, depth: int) -> Run:
        from bench.evaluation.mining import mine

        return mine(query_vectors, blocks, ids)

    def score(self, run: Run, test: TestCollection, names: Sequence[str]) -> Scores:
        from bench.evaluation.mining import score

        return score(run, test)

    def describe(self, run: Run, test: TestCollection) -> dict[str, Any]:
        from bench.evaluation.mining import threshold

        return {"threshold": threshold(run, test)}


TASKS: Mapping[TaskName, Retrieval | BitextMining] = {
    "retrieval": Retrieval(),
    "multilingual retrieval": MultilingualRetrieval(),
    "bitext mining": BitextMining(),
}


def task_of(test: TestCollection | TestSummary | None) -> Retrieval | BitextMining:
    """Return the task of a collection; plain retrieval if nothing is known of it yet."""
    return TASKS[test.task if test else "retrieval"]


def bias(run: Run, test: TestCollection, depth: int = measures.EVALUATION_DEPTH) -> Scores:
    """Return the measures of language bias for every judged query. A document that is not among the first `depth` has
    the rank `depth` + 1.

    `RankDistance` is the difference between the ranks of the first and the last relevant document, after the rank
    distance of Elmahdy et al. 2024 (arXiv 2408.10536): a reconstruction, because its exact definition was not
    available. `MaxR` is the rank of the last one, Max@R of Hong et al. 2026 (arXiv 2604.05684).
    """
    distance, last = {}, {}
    for query, judged in test.qrels.items():
        place = {document: rank for rank, (document, _) in enumerate(run.get(query, ())[:depth], start=1)}
        ranks = [place.get(document, depth + 1) for document, grade in judged.items() if grade > 0]
        distance[query], last[query] = float(max(ranks) - min(ranks)), float(max(ranks))
    return {f"RankDistance@{depth}": distance, f"MaxR@{depth}": last}


def language_shares(run: Run, test: TestCollection) -> dict[str, dict[str, float]]:
    """Return each language's share of all documents (`documents`) and of the first ten of all queries (`top`).

    Shares are rounded to 6 decimals.
    """
    language_of = dict(zip(test.document_ids, test.document_languages, strict=True))
    in_collection = Counter(test.document_languages)
    in_top = Counter(language_of[document] for ranking in run.values() for document, _ in ranking[:TOP])
    return {
        language: {
            "documents": round(count / in_collection.total(), 6),
            "top": round(in_top[language] / in_top.total(), 6) if in_top else 0.0,
        }
        for language, count in sorted(in_collection.items())
    }
