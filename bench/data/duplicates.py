"""Near-duplicates: texts that equal another one except for a few letters, or that contain it.

Texts are compared by their shingles: the set of all runs of five letters in a text, without white space and diacritics,
so that scripts without spaces and spellings without tone marks are compared like any other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

SHINGLE = 5
"""Letters of a shingle."""
SIMILAR, SHORTEST_SIMILAR = 0.8, 10
"""Near: the least Jaccard similarity, to a text with at least this number of shingles."""
CONTAINED, SHORTEST_CONTAINED = 0.9, 40
"""Contained: the least share of the shingles of a text, with at least this number of shingles."""
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
    """Return all pairs of a text that is near, or contains, another, in order. All texts are normalised."""
    texts, others = [_letters(text) for text in texts], [_letters(other) for other in others]
    shingles_of_other = cache(lambda other: _shingles(others[other]))
    found, last, shingles = [], -1, frozenset[str]()
    for text, other in _candidates(texts, others):
        if text != last:
            last, shingles = text, _shingles(texts[text])
        verdict = _compare(shingles, shingles_of_other(other))
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
    """Yield all pairs that `_compare` may accept and few more, in order.

    An accepted text lacks at most a share of 1 - SIMILAR of the other's shingles. Even if all of these were in the
    rarer half, the text would have the rest of that half, and few texts share so many rare shingles by chance.
    """
    rows, codes = _coded_shingles(others)
    vocabulary, columns = np.unique(codes, return_inverse=True)
    distinct = _ones(rows, columns, (len(others), len(vocabulary))).tocoo()
    rows, columns = distinct.row, distinct.col
    counts = np.bincount(rows, minlength=len(others))
    frequency = np.bincount(columns, minlength=len(vocabulary))
    order = np.lexsort((frequency[columns], rows))
    rank = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    half = -(-counts // 2)
    rare = order[(rank < half[rows]) & (counts >= SHORTEST_SIMILAR)[rows]]
    required = np.maximum(half - np.ceil(counts * (1 - SIMILAR)).astype(int), 1)
    if len(rare) == 0:
        return
    used, places = np.unique(columns[rare], return_inverse=True)
    vocabulary = vocabulary[used]
    of_others = _ones(places, rows[rare], (len(vocabulary), len(others)))
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        rows, codes = _coded_shingles(part)
        columns = np.minimum(np.searchsorted(vocabulary, codes), len(vocabulary) - 1)
        known = vocabulary[columns] == codes
        shared = (_ones(rows[known], columns[known], (len(part), len(vocabulary))) @ of_others).tocoo()
        enough = shared.data >= required[shared.col]
        pairs = zip(shared.row[enough].tolist(), shared.col[enough].tolist(), strict=True)
        yield from sorted((start + row, column) for row, column in pairs)


def _coded_shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text's number and a 64-bit hash of the letters of each shingle of each text, both (n_shingles,)."""
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    count = max(len(letters) - SHINGLE + 1, 0)
    codes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE):
        codes = codes * np.uint64(0x9E3779B97F4A7C15) + letters[offset : offset + count]
    whole = rows[:count] == rows[len(rows) - count :]  # its first and last letter are of one text
    return rows[:count][whole], codes[whole]


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    """Return a sparse matrix with ones, int32, at these places, which may repeat."""
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=shape)
    matrix.data[:] = 1
    return matrix
