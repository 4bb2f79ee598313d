"""Hashes (64 bits) of runs of letters, and an index that finds candidates of repeated texts in linear time."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

CHUNK = 4096
"""Number of texts to compare at a time, which bounds memory."""

_MARKS = re.compile("[\u0300-\u036f]")  # marks that NFD separates from Latin, Greek and Cyrillic letters


def without_marks(text: str) -> str:
    """Return the text without diacritics."""
    return text if text.isascii() else _MARKS.sub("", unicodedata.normalize("NFD", text))


def windows(texts: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the text and the hash of each run of `size` letters, both (n_windows,), in order.

    The texts are without white space.
    """
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    count = max(len(letters) - size + 1, 0)
    codes = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        codes = codes * np.uint64(0x9E3779B97F4A7C15) + letters[offset : offset + count]
    whole = rows[:count] == rows[len(rows) - count :]  # windows within one text
    return rows[:count][whole], codes[whole]


class Index:
    """An index of hashes with the number of the text of each."""

    def __init__(self, rows: np.ndarray, codes: np.ndarray) -> None:
        order = np.argsort(codes, kind="stable")
        self._rows, self._codes = rows[order], codes[order]

    def count(self, codes: np.ndarray) -> np.ndarray:
        """Return the frequency of each hash in the index, (n_codes,)."""
        return np.searchsorted(self._codes, codes, "right") - np.searchsorted(self._codes, codes)

    def pairs(self, rows: np.ndarray, codes: np.ndarray) -> list[tuple[int, int]]:
        """Return distinct pairs of a text, with hashes in `codes`, and a text of the index with an equal hash, in
        order.
        """
        if not len(self._codes):
            return []
        first = np.searchsorted(self._codes, codes)
        hits = self._codes[np.minimum(first, len(self._codes) - 1)] == codes
        rows, codes, first = rows[hits], codes[hits], first[hits]
        counts = np.searchsorted(self._codes, codes, "right") - first
        places = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
        found = np.repeat(rows, counts), self._rows[places]
        return sorted(set(zip(*(column.tolist() for column in found), strict=True)))
