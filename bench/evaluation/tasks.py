"""Tasks of test collections: retrieval, multilingual retrieval and bitext mining, with their scorings and measures.

In multilingual retrieval the documents are in several languages, and the relevant documents of a query are translations
of each other. A retriever without language bias ranks these side by side, and retrieves documents of a language in
proportion to its share. This module imports nothing heavy, because every plan needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.data import TaskName, TestCollection
from bench.evaluation import measures

if TYPE_CHECKING:
    from bench.evaluation.run import Run

Scores = dict[str, dict[str, float]]
"""Measure -> query id -> value."""
TOP = 10
"""Number of documents per query whose languages are counted."""
RESTRICTION = "bitext mining supports single-vector scoring only"


def scorings(task: TaskName, requested: Sequence[str], supported: Sequence[str]) -> tuple[str, ...]:
    """Return the requested scorings that retriever and task support, or else all that they support."""
    both = tuple(name for name in supported if task != "bitext mining" or name == "single-vector")
    return tuple(name for name in requested if name in both) or both


def measures_of(task: TaskName, requested: Sequence[str]) -> tuple[str, ...]:
    """Return the measures of a collection."""
    if task == "bitext mining":
        return tuple(measures.MINING)
    return (*requested, *measures.BIAS) if task == "multilingual retrieval" else tuple(requested)


def score(run: Run, test: TestCollection, names: Sequence[str]) -> Scores:
    """Return the values of these measures for every judged query; for bitext mining, of all its measures."""
    if test.task == "bitext mining":
        from bench.evaluation import mining

        return mining.score(run, test)
    plain = [name for name in names if name not in measures.BIAS]
    scores = measures.score(run, test.qrels, plain) if plain else {}
    return scores | (bias(run, test) if len(plain) < len(names) else {})


def describe(run: Run, test: TestCollection) -> dict[str, Any]:
    """Return facts about a run for the manifest of a cell, without scores."""
    if test.task == "bitext mining":
        from bench.evaluation.mining import threshold

        return {"threshold": threshold(run, test)}
    return {"languages": language_shares(run, test)} if test.task == "multilingual retrieval" else {}


def bias(run: Run, test: TestCollection, depth: int = measures.EVALUATION_DEPTH) -> Scores:
    """Return the measures of language bias for every judged query. Documents beyond `depth` have rank `depth` + 1.

    - `RankDistance`: the difference between the ranks of the first and the last relevant document, a reconstruction of
      Elmahdy et al. 2024 (arXiv 2408.10536).
    - `MaxR`: the rank of the last relevant document, Max@R of Hong et al. 2026 (arXiv 2604.05684).
    """
    distance, last = {}, {}
    for query, judged in test.qrels.items():
        place = {document: rank for rank, (document, _) in enumerate(run.get(query, ())[:depth], start=1)}
        ranks = [place.get(document, depth + 1) for document, grade in judged.items() if grade > 0]
        distance[query], last[query] = float(max(ranks) - min(ranks)), float(max(ranks))
    return {f"RankDistance@{depth}": distance, f"MaxR@{depth}": last}


def language_shares(run: Run, test: TestCollection) -> dict[str, dict[str, float]]:
    """Return the share of each language in all documents (`documents`) and in the first ten of all queries (`top`)."""
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
