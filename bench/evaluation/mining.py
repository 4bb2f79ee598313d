"""Bitext mining: pairs of sentences that translate each other, and their precision, recall and F1.

Pairs are chosen and scored as by Artetxe and Schwenk, Margin-based Parallel Corpus Mining with Multilingual Sentence
Embeddings, ACL 2019: margin "ratio", retrieval "max". Their program, LASER's `mine_bitexts.py`, and XTREME's copy of it
leave repeated sentences out of the evaluation. Here each occurrence is a sentence.

Precision, recall and F1 are ratios of sums over the queries, but the rest of the pipeline takes means over queries. The
value of a query is therefore the linearised ratio, whose mean is the ratio. Its variance is that of the delta method
(Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6), so intervals and paired tests over queries are right to
first order. The threshold counts as fixed: intervals do not include the variation of its tuning.
"""

from collections.abc import Iterable
from statistics import fmean

import numpy as np

from bench.data import Ids, TestCollection
from bench.evaluation.retrieval import search
from bench.evaluation.run import Run

NEIGHBOURS = 4
"""The k of the margin, as in the paper."""


def mine(query_vectors: np.ndarray, blocks: Iterable[np.ndarray], ids: Ids) -> Run:
    """Return mined pairs, at most one document for each query and one query for each document, with the margin

        cos(x, y) / (sum of cos(x, z) / 2k over the k documents z nearest to x + the same of y and queries)

    as a float32. The candidate of a text, from either side, is the neighbour with the largest margin among k. The best
    candidates are chosen first. Arrays and errors are those of `search`, but all blocks are in memory at once.
    """
    document_vectors = np.concatenate(list(blocks))
    forward = search(query_vectors, [document_vectors], ids, NEIGHBOURS)
    backward = search(document_vectors, [query_vectors], Ids(ids.documents, ids.queries), NEIGHBOURS)
    of_query, of_document = (
        {text: fmean(cosine for _, cosine in found) for text, found in run.items()} for run in (forward, backward)
    )

    def scored(query: str, document: str, cosine: float) -> tuple[float, str, str]:
        return -float(np.float32(cosine / ((of_query[query] + of_document[document]) / 2))), query, document

    candidates = [min(scored(query, key, cosine) for key, cosine in found) for query, found in forward.items()]
    candidates += [min(scored(key, document, cosine) for key, cosine in found) for document, found in backward.items()]
    pairs: dict[str, tuple[str, float]] = {}
    taken = set()
    for negative, query, document in sorted(candidates):
        if query not in pairs and document not in taken:
            pairs[query] = document, -negative
            taken.add(document)
    return {query: [pairs[query]] for query in ids.queries if query in pairs}


def threshold(run: Run, test: TestCollection) -> float:
    """Return the margin with the largest F1 on the tuning queries; 0 without mined pairs.

    It is halfway between the last accepted and the first rejected pair. Of several margins the highest is returned.
    """
    gold = sum(len(_relevant(test, query)) for query in test.tuning)
    pairs = [(margin, key in _relevant(test, query)) for query in test.tuning for key, margin in run.get(query, ())]
    if not pairs:
        return 0.0
    margins, correct = np.array(sorted(pairs, reverse=True)).T
    following = np.append(margins[1:], margins[-1])
    f1 = 2 * correct.cumsum() / (np.arange(1, len(pairs) + 1) + gold)
    f1[:-1][margins[:-1] == following[:-1]] = -1  # no threshold lies between equal margins
    best = int(f1.argmax())
    return float(margins[best] + following[best]) / 2


def score(run: Run, test: TestCollection) -> dict[str, dict[str, float]]:
    """Return measure -> query id -> linearised value for the queries that are not for tuning."""
    least = threshold(run, test)
    tuning = set(test.tuning)
    queries = [query for query in test.query_ids if query not in tuning]
    relevant = [_relevant(test, query) for query in queries]
    mined = [{document for document, margin in run.get(query, ()) if margin >= least} for query in queries]
    counts = [(len(one & other), len(one), len(other)) for one, other in zip(mined, relevant, strict=True)]
    correct, found, gold = np.array(counts, dtype=np.float64).T
    values = {
        "F1": linearised(2 * correct, found + gold),
        "precision": linearised(correct, found),
        "recall": linearised(correct, gold),
    }
    return {name: dict(zip(queries, column.tolist(), strict=True)) for name, column in values.items()}


def linearised(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Return r + n (a - r b) / sum(b) per row, whose mean is the ratio of the sums, r; 0 if sum(b) is 0."""
    total = denominators.sum()
    if total == 0:
        return np.zeros(len(numerators))
    ratio = numerators.sum() / total
    return np.asarray(ratio + len(numerators) * (numerators - ratio * denominators) / total)


def _relevant(test: TestCollection, query: str) -> set[str]:
    return {document for document, grade in test.qrels.get(query, {}).items() if grade > 0}
