"""Language bias in a pool of documents in several languages, where relevant documents are translations of each other.

A retriever without it ranks a query's relevant documents side by side, whatever their languages, and takes no more from
a language than the pool has of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.data import TestCollection
from bench.evaluation.measures import EVALUATION_DEPTH
from bench.evaluation.run import Run

TOP = 10
"""Documents per query whose languages are counted."""


def score(run: Run, test: TestCollection, depth: int = EVALUATION_DEPTH) -> dict[str, dict[str, float]]:
    """Measure -> query id -> ranks, for every judged query; a relevant document that is not among the first `depth`
    counts as being at rank `depth` + 1.

    `RankDistance` is how far the first and the last of the relevant documents are apart, after the rank distance of
    Elmahdy et al. 2024 (arXiv 2408.10536), whose exact definition was not to be had: a reconstruction. `MaxR` is the
    rank of the last one, Max@R of Hong et al. 2026 (arXiv 2604.05684).
    """
    distance, last = {}, {}
    for query, judged in test.qrels.items():
        place = {document: rank for rank, (document, _) in enumerate(run.get(query, ())[:depth], start=1)}
        ranks = [place.get(document, depth + 1) for document, grade in judged.items() if grade > 0]
        distance[query], last[query] = float(max(ranks) - min(ranks)), float(max(ranks))
    return {f"RankDistance@{depth}": distance, f"MaxR@{depth}": last}


def language_shares(run: Run, test: TestCollection) -> dict[str, dict[str, float]]:
    """Language -> its share of all documents (`pool`) and of the first ten of all queries (`top`), 6 decimals."""
    language_of: Mapping[str, str] = dict(zip(test.document_ids, test.document_languages, strict=True))
    top: Sequence[str] = [language_of[document] for ranking in run.values() for document, _ in ranking[:TOP]]
    in_pool, in_top = Counter(test.document_languages), Counter(top)
    return {
        language: {
            "pool": round(count / len(test.document_languages), 6),
            "top": round(in_top[language] / len(top), 6) if top else 0.0,
        }
        for language, count in sorted(in_pool.items())
    }
