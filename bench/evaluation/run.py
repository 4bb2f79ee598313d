"""Runs: ranked documents for each query, with strictly decreasing scores."""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np

Run = Mapping[str, Sequence[tuple[str, float]]]
"""Query id -> (document id, score), best first, with strictly decreasing scores."""


LARGEST = float(np.finfo(np.float32).max)
"""Maximum absolute value of a score, since runs have float32."""
_LARGEST_KEY = int(np.float32(LARGEST).view(np.int32))


def strictly_decreasing(ranking: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Sort by score, ties by ascending document id, and make scores distinct float32, since measures differ on ties."""
    return distinct(ordered(ranking))


def ordered(ranking: Sequence[tuple[str, float]], *, descending_ids: bool = False) -> list[tuple[str, float]]:
    """Sort by descending score, ties by ascending or descending document id."""
    by_id = sorted(ranking, key=itemgetter(0), reverse=descending_ids)
    return sorted(by_id, key=itemgetter(1), reverse=True)  # a stable sort


def distinct(ranking: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the ranking with the nearest strictly decreasing float32 scores."""
    values = distinct_scores(np.array([score for _, score in ranking]))
    return [(document, value) for (document, _), value in zip(ranking, values.tolist(), strict=True)]


def distinct_scores(scores: np.ndarray) -> np.ndarray:
    """Return the nearest strictly decreasing float32."""
    values = np.clip(scores, -LARGEST, LARGEST).astype(np.float32)
    if not (values[1:] < values[:-1]).all():
        # The bits of a float32, as an integer, count the numbers between it and 0.
        bits, places = values.view(np.int32).astype(np.int64), np.arange(len(values))
        keys = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
        keys = np.minimum.accumulate(keys + places) - places
        keys = np.maximum(keys, places[::-1] - _LARGEST_KEY)  # no score is infinite
        values = np.copysign(np.abs(keys).astype(np.int32).view(np.float32), keys)
    return values
