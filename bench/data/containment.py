"""Containment: texts that contain another text, word for word.

Windows of letters select the pairs to compare, so that time is linear in the number of letters. Source: Karp & Rabin,
Efficient randomized pattern-matching algorithms, 1987.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from bench.data.duplicates import NearDuplicate
from bench.data.windows import CHUNK, Index, windows, without_marks

SHORTEST, SHARE = 12, 0.5
"""Least number of letters of an inner text, and its least share of the letters of the outer text."""
ANY_SHARE = 16
"""Letters of an inner text that counts in a text of any length."""
ANY_SHARE_INSIDE = 44
"""Letters of a text that counts inside another one of any length: long passages quote short common sentences."""
COMMON = 5
"""Maximum number of texts that contain a text; a text in more of them is a common phrase."""

# Thai, Lao, Burmese, Khmer, Chinese and Japanese, which have no space between words.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def containing(texts: Sequence[str], others: Sequence[str]) -> list[NearDuplicate]:
    """Return all pairs of a text that contains another text, or is inside it, in order. All texts are normalised.

    Whole words are compared, without diacritics. The similarity is the contained share of the other text.
    """
    theirs = list(map(without_marks, others))
    rows, codes = windows(list(map(_letters, theirs)), SHORTEST)
    index = Index(rows, codes)
    _, numbers, times = np.unique(codes, return_inverse=True, return_counts=True)
    rarest = np.lexsort((times[numbers], rows))[np.flatnonzero(np.diff(rows, prepend=-1))]
    anchors = Index(rows[rarest], codes[rarest])
    around, inside = [], []
    for start in range(0, len(texts), CHUNK):
        ours = list(map(without_marks, texts[start : start + CHUNK]))
        rows, codes = windows(list(map(_letters, ours)), SHORTEST)
        for row, other in anchors.pairs(rows, codes):
            if _share(theirs[other], ours[row], ANY_SHARE):
                around.append(NearDuplicate(start + row, other, "contained", 1.0))
        # A text inside another has its first and last window there. The rarer window gives fewer candidates.
        ends = np.flatnonzero(np.diff(rows, prepend=-1)), np.flatnonzero(np.diff(rows, append=-1))
        counts = [index.count(codes[end]) for end in ends]
        rarer = np.where(counts[0] <= counts[1], *ends)
        for row, other in index.pairs(rows[rarer], codes[rarer]):
            if share := _share(ours[row], theirs[other], ANY_SHARE_INSIDE):
                inside.append(NearDuplicate(start + row, other, "contained", share))
    outer = Counter(pair.other for pair in around)
    return sorted({*inside, *(pair for pair in around if outer[pair.other] <= COMMON)})


def _letters(text: str) -> str:
    return text.replace(" ", "")


def _share(inner: str, outer: str, any_share: int) -> float:
    """Return the share of an inner text of the letters of the outer one, and 0 if it is not inside or too short."""
    part, letters = _letters(inner), _letters(outer)
    share = len(part) / len(letters)
    if (len(part) < any_share and share < SHARE) or part not in letters:
        return 0.0
    if not _UNSPACED.search(part):
        ends = {0, *accumulate(map(len, outer.split()))}
        places = (match.start() for match in re.finditer(f"(?={re.escape(part)})", letters))
        if not any(place in ends and place + len(part) in ends for place in places):
            return 0.0
    return share
