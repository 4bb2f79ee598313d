"""Near-duplicates: texts that equal another but for a few letters, or that contain it.

Texts are compared by their shingles: the set of all runs of five letters in a text, white space and diacritics left
out, so that scripts without spaces and spellings without tone marks are compared like any other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

SHINGLE = 5
"""Letters of a shingle."""
SIMILAR, SHORTEST_SIMILAR = 0.8, 10
"""Near: a Jaccard similarity of at least so much, with a text of at least so many shingles."""
CONTAINED, SHORTEST_CONTAINED = 0.9, 40
"""Contained: at least such a share of the shingles of a text that has at least so many."""
CHUNK = 4096
"""Texts that are compared at a time; memory grows with it."""

_LEFT_OUT = re.compile("[\\s\u0300-\u036f]")  # the marks that NFD takes off Latin, Greek and Cyrillic letters


class NearDuplicate(NamedTuple):
    """`texts[text]` is near, or contains, `others[other]`; `similarity` is the Jaccard or the share contained."""

    text: int
    other: int
    kind: Literal["near", "contained"]
    similarity: float


def near_duplicates(texts: Sequence[str], others: Sequence[str]) -> list[NearDuplicate]:
    """Which of `texts` are near or contain which of `others`, equal ones included, in order; all are normalised."""
    texts, others = [_letters(text) for text in texts], [_letters(other) for other in others]
    known: dict[int, frozenset[str]] = {}
    found, last, shingles = [], -1, frozenset[str]()
    for text, other in _candidates(texts, others):
        if text != last:
            last, shingles = text, _shingles(texts[text])
        if other not in known:
            known[other] = _shingles(others[other])
        verdict = _compare(shingles, known[other])
        if verdict is not None:
            found.append(NearDuplicate(text, other, *verdict))
    return found


def _compare(text: frozenset[str], other: frozenset[str]) -> tuple[Literal["near", "contained"], float] | None:
    shared = len(text & other)
    similarity = shared / len(text | other)
    if similarity >= SIMILAR and len(other) >= SHORTEST_SIMILAR:
        return "near", similarity
    if shared / len(other) >= CONTAINED and len(other) >= SHORTEST_CONTAINED:
        return "contained", shared / len(other)
    return None


def _letters(text: str) -> str:
    return _LEFT_OUT.sub("", text if text.isascii() else unicodedata.normalize("NFD", text))


def _shingles(letters: str) -> frozenset[str]:
    return frozenset(letters[start : start + SHINGLE] for start in range(len(letters) - SHINGLE + 1))


def _candidates(texts: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int]]:
    """All pairs that `_compare` may accept and few more, in order.

    What it accepts lacks at most a share of 1 - SIMILAR of the other's shingles. Were they all of the rarer half, it
    would still have the rest of that half; and few texts share so many rare shingles by chance.
    """
    rows, codes = _distinct(*_coded_shingles(others))
    counts = np.bincount(rows, minlength=len(others))
    _, place, frequency = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.lexsort((frequency[place], rows))
    rank = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    half = -(-counts // 2)
    rare = order[(rank < half[rows]) & (counts >= SHORTEST_SIMILAR)[rows]]
    required = np.maximum(half - np.ceil(counts * (1 - SIMILAR)).astype(int), 1)
    vocabulary = np.unique(codes[rare])
    if len(vocabulary) == 0:
        return
    of_others = _matrix(rows[rare], codes[rare], vocabulary, len(others)).T.tocsr()
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        shared = (_matrix(*_coded_shingles(part), vocabulary, len(part)) @ of_others).tocoo()
        enough = shared.data >= required[shared.col]
        pairs = zip(shared.row[enough].tolist(), shared.col[enough].tolist(), strict=True)
        yield from sorted((start + row, column) for row, column in pairs)


def _coded_shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of each shingle of each text its text's number and a 64-bit hash of its letters, both (n_shingles,)."""
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    count = max(len(letters) - SHINGLE + 1, 0)
    codes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE):
        codes = codes * np.uint64(0x9E3779B97F4A7C15) + letters[offset : offset + count]
    whole = rows[:count] == rows[len(rows) - count :]  # its first and last letter are of one text
    return rows[:count][whole], codes[whole]


def _distinct(rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs of row and code, sorted."""
    order = np.lexsort((codes, rows))
    rows, codes = rows[order], codes[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]) | (codes[1:] != codes[:-1])
    return rows[new], codes[new]


def _matrix(rows: np.ndarray, codes: np.ndarray, vocabulary: np.ndarray, height: int) -> Any:
    """Which row has which code of the vocabulary: a sparse matrix (height, n_vocabulary) of ones, int32."""
    columns = np.minimum(np.searchsorted(vocabulary, codes), len(vocabulary) - 1)
    known = vocabulary[columns] == codes
    ones = np.ones(np.count_nonzero(known), dtype=np.int32)
    matrix = sparse.csr_array((ones, (rows[known], columns[known])), shape=(height, len(vocabulary)))
    matrix.data[:] = 1
    return matrix
