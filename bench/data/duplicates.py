"""Near-duplicates: texts that are equal except for a few letters, or that contain another text.

Texts are compared by their shingles: the set of all runs of five letters in a text, without white space and diacritics.
Scripts without spaces and spellings without tone marks are therefore compared like all others.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from bench.data.windows import CHUNK, windows, without_marks

SHINGLE = 5
"""Letters of a shingle."""
SIMILAR, SHORTEST_SIMILAR = 0.8, 10
"""Near: the least Jaccard similarity, and the least number of shingles of the other text."""
CONTAINED, SHORTEST_CONTAINED = 0.9, 40
"""Contained: the least share of the shingles of the other text, and their least number."""


class NearDuplicate(NamedTuple):
    """`texts[text]` is near, or contains, `others[other]`; `similarity` is the Jaccard or the share contained."""

    text: int
    other: int
    kind: Literal["near", "contained"]
    similarity: float


def near_duplicates(texts: Sequence[str], others: Sequence[str]) -> list[NearDuplicate]:
    """Return all pairs of a text that is near another text, or contains it, in order. All texts are normalised."""
    rows, codes = _shingles(others)
    vocabulary, columns = np.unique(codes, return_inverse=True)
    sizes = np.bincount(rows, minlength=len(others))
    of_others = _ones(rows, columns, (len(others), len(vocabulary)))
    rare, required = _rare(rows, columns, sizes, len(vocabulary))
    found = []
    for start in range(0, len(texts) if len(vocabulary) else 0, CHUNK):
        part = texts[start : start + CHUNK]
        rows, codes = _shingles(part)
        own_sizes = np.bincount(rows, minlength=len(part))
        columns = np.minimum(np.searchsorted(vocabulary, codes), len(vocabulary) - 1)
        known = vocabulary[columns] == codes
        own = _ones(rows[known], columns[known], (len(part), len(vocabulary)))
        candidates = (own @ rare.T).tocoo()
        enough = candidates.data >= required[candidates.col]
        text, other = candidates.row[enough], candidates.col[enough]
        shared = own[text].multiply(of_others[other]).sum(axis=1)
        jaccard, share = shared / (own_sizes[text] + sizes[other] - shared), shared / sizes[other]
        near = (jaccard >= SIMILAR) & (sizes[other] >= SHORTEST_SIMILAR)
        contained = ~near & (share >= CONTAINED) & (sizes[other] >= SHORTEST_CONTAINED)
        similarity = np.where(near, jaccard, share)
        for row in np.flatnonzero(near | contained):
            pair = start + int(text[row]), int(other[row])
            found.append(NearDuplicate(*pair, "near" if near[row] else "contained", float(similarity[row])))
    return sorted(found)


def _rare(rows: np.ndarray, columns: np.ndarray, sizes: np.ndarray, vocabulary: int) -> tuple[Any, np.ndarray]:
    """Return the rarer half of each text's shingles, (n_texts, vocabulary), and the number that candidates must share.

    A text that is near another text, or contains it, lacks at most a share of 1 - SIMILAR of its shingles. Even if all
    of these are in the rarer half, the text has the rest of that half. Few texts share so many rare shingles by chance.
    """
    frequency = np.bincount(columns, minlength=vocabulary)
    order = np.lexsort((frequency[columns], rows))
    rank = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[rows]
    half = -(-sizes // 2)
    rare = order[(rank < half[rows]) & (sizes >= SHORTEST_SIMILAR)[rows]]
    required = np.maximum(half - np.ceil(sizes * (1 - SIMILAR)).astype(int), 1)
    return _ones(rows[rare], columns[rare], (len(sizes), vocabulary)), required


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text's number and the hash of each distinct shingle of each text, both (n_shingles,), by text."""
    rows, codes = windows([without_marks(text).replace(" ", "") for text in texts], SHINGLE)
    order = np.lexsort((codes, rows))
    rows, codes = rows[order], codes[order]
    repeated = (np.diff(rows, prepend=-1) == 0) & (np.diff(codes, prepend=codes[:1]) == 0)
    return rows[~repeated], codes[~repeated]


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    return sparse.csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=shape)
