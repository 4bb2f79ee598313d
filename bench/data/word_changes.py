"""Texts with the same words except for one, in any order.

The hash of a text is the sum of the hashes of its words. Subtraction of one hash gives the text without a word. This is
the deletion neighbourhood of spelling correction (Garbe's SymSpell), for words instead of letters.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from bench.data.duplicates import NearDuplicate
from bench.data.windows import CHUNK, Index, without_marks

SHARED = 12
"""Least number of letters in common words, for a word more or less or another order."""
SHARED_MISSPELT, SHORTEST_WORD = 6, 4
"""Least number of letters in common words, and in the word that differs by a letter or two swapped letters."""
SHARED_CHANGED = 30
"""Least number of letters in common words, for another word. Short texts with another word differ in meaning."""


def one_word_apart(texts: Sequence[str], others: Sequence[str]) -> list[NearDuplicate]:
    """Return all pairs of a text and another text with one word more, less or changed, or in another order.

    All texts are normalised. Diacritics do not count. The similarity is the share of letters in common words.
    """
    theirs = [without_marks(text).split() for text in others]
    index = Index(*_variants(theirs))
    found = []
    for start in range(0, len(texts), CHUNK):
        ours = [without_marks(text).split() for text in texts[start : start + CHUNK]]
        for row, other in index.pairs(*_variants(ours)):
            if similarity := _similarity(ours[row], theirs[other]):
                found.append(NearDuplicate(start + row, other, "near", similarity))
    return found


def _variants(texts: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the number and the hash of each text, whole and without each of its words, both (n_variants,).

    Variants with fewer than `SHARED_MISSPELT` letters are left out.
    """
    words = list(chain.from_iterable(texts))
    rows = np.repeat(np.arange(len(texts)), list(map(len, texts)))
    hashes = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    totals, letters = np.zeros(len(texts), np.uint64), np.zeros(len(texts), np.int64)
    np.add.at(totals, rows, hashes)
    np.add.at(letters, rows, lengths)
    numbers = np.concatenate([np.arange(len(texts)), rows])
    codes = np.concatenate([totals, totals[rows] - hashes])
    enough = np.concatenate([letters, letters[rows] - lengths]) >= SHARED_MISSPELT
    return numbers[enough], codes[enough]


def _similarity(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Return the share of letters in common words; 0 if the texts differ by more than the constants allow."""
    more, less = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
    if more.total() > 1 or less.total() > 1:  # equal hashes of different words
        return 0.0
    longest = max(sum(map(len, ours)), sum(map(len, theirs)))
    shared = sum(map(len, ours)) - sum(map(len, more))
    least = SHARED
    if more and less:
        least = SHARED_MISSPELT if _misspelt(*more, *less) else SHARED_CHANGED
    return shared / longest if shared >= least else 0.0


def _misspelt(one: str, other: str) -> bool:
    """Return True if one letter is added, missing or changed, or two neighbours are swapped, in a long enough word."""
    long_enough = max(len(one), len(other)) >= SHORTEST_WORD
    for _ in range(2):  # remove the common prefix, then the common suffix
        common = zip(one, other, strict=False)
        start = next((place for place, (a, b) in enumerate(common) if a != b), min(len(one), len(other)))
        one, other = one[start:][::-1], other[start:][::-1]
    return long_enough and (max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1]))
