"""Less bitext, or worse: samples of it, and rows whose sides do not belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.data import Bitext

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Level:
    """The resources of a training: at most `size` pairs (None: all), the share `noise` of which is misaligned."""

    size: int | None = None
    noise: float = 0.0


def sample(bitext: Bitext, size: int, rng: np.random.Generator) -> Bitext:
    """`size` random rows, in order, or all if there are fewer; those of a smaller size are among those of a larger."""
    return bitext.take(sorted(_shuffled(len(bitext), rng)[:size]))


def misalign(bitext: Bitext, share: float, rng: np.random.Generator) -> Bitext:
    """The bitext with each of `share` of its rows, chosen at random, given the document side of another of them.

    The rows chosen for a smaller share are among those for a larger. A single row has no other and stays as it is.
    """
    chosen = _shuffled(len(bitext), rng)[: round(share * len(bitext))]
    documents = list(bitext.document_side)
    # One cycle through all of them, in random order, leaves none where it was.
    for row, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        documents[row] = bitext.document_side[other]
    return replace(bitext, document_side=tuple(documents))


def cap(bitext: Bitext, limits: Mapping[str, int]) -> Bitext:
    """The bitext with at most so many rows of a source in a pair: a random sample, the same for all who train on it."""
    from numpy.random import default_rng  # here, because the cards are read without numpy

    dropped: set[int] = set()
    origins = bitext.origins
    for source in dict.fromkeys(origins):
        if source[0] in limits:
            rows = [row for row, other in enumerate(origins) if other == source]
            dropped.update(rows[i] for i in _shuffled(len(rows), default_rng(0))[limits[source[0]] :])
    return bitext.take(row for row in range(len(bitext)) if row not in dropped)


def _shuffled(count: int, rng: np.random.Generator) -> list[int]:
    return [int(row) for row in rng.permutation(count)]
