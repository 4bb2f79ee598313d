"""Mining: which documents of a pool lie nearest to a query, and which of them may be its negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.api import Encoder, Ids, Side, Spent, autocast
from bench.search import search


@dataclass(frozen=True)
class View:
    """How two encoders see n queries and the m documents of a pool; all embeddings are float32 and L2-normalised."""

    queries: np.ndarray
    """(n, dimension)"""
    documents: np.ndarray
    """(m, dimension)"""
    positives: np.ndarray
    """(n,): the score of each query's own positive, which need not be in the pool."""

    def nearest(self, depth: int) -> np.ndarray:
        """The `depth` highest-scoring documents of each query, best first, (n, at most depth) int64."""
        names = Ids([str(i) for i in range(len(self.queries))], [str(i) for i in range(len(self.documents))])
        run = search(self.queries, [self.documents], names, depth)
        return np.array([[int(document) for document, _ in run[query]] for query in names.queries])

    def below(self, share: float, candidates: np.ndarray) -> np.ndarray:
        """Which candidates (n, k) score less than `share` times the positive of their query, (n, k) bool."""
        scores = [self.documents[found] @ query for found, query in zip(candidates, self.queries, strict=True)]
        return np.array(scores) < share * self.positives[:, None]


@dataclass(frozen=True)
class Miner:
    """Who looks for negatives: the encoders of queries and of documents, and the queries as they are read."""

    query_encoder: Encoder
    document_encoder: Encoder
    queries: Sequence[str]


class Pool:
    """The documents among which negatives are looked for; what a frozen encoder makes of them is kept."""

    def __init__(self, texts: Sequence[str], precision: str) -> None:
        self.texts, self.precision = texts, precision
        self._kept: dict[int, np.ndarray] = {}

    def view(self, miner: Miner, rows: np.ndarray, positives: Sequence[str], spent: Spent) -> View:
        """What a miner sees for the queries of these rows and their positives; `spent` is charged for it."""
        queries = self._encode(miner.query_encoder, [miner.queries[row] for row in rows], "query", spent)
        documents = self.vectors(miner.document_encoder, spent)
        place = {text: i for i, text in enumerate(self.texts)}
        outside = [text for text in dict.fromkeys(positives) if text not in place]
        place |= {text: len(documents) + i for i, text in enumerate(outside)}
        known = np.concatenate([documents, self._encode(miner.document_encoder, outside, "document", spent)])
        return View(queries, documents, (queries * known[[place[text] for text in positives]]).sum(axis=1))

    def vectors(self, encoder: Encoder, spent: Spent) -> np.ndarray:
        """The documents' embeddings, (m, dimension)."""
        if id(encoder) in self._kept:
            return self._kept[id(encoder)]
        vectors = self._encode(encoder, self.texts, "document", spent)
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            self._kept[id(encoder)] = vectors
        return vectors

    def _encode(self, encoder: Encoder, texts: Sequence[str], side: Side, spent: Spent) -> np.ndarray:
        spent.mining_texts += len(set(texts))
        with autocast(encoder.device, self.precision):
            return encoder.encode(texts, side)


def pick(found: np.ndarray, others: np.ndarray, number: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """`number` of the documents that were `found`, at random; how many of them had to be taken from `others` instead.

    One is taken twice only if there are not enough.
    """
    chosen = rng.permutation(found)[:number]
    missing = number - len(chosen)
    if missing:
        fresh = np.setdiff1d(others, chosen)
        enough = len(fresh) >= missing
        chosen = np.concatenate([chosen, rng.choice(fresh if enough else others, missing, replace=not enough)])
    return chosen, missing
