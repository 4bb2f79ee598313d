"""Less bitext, or worse: samples of it, and rows whose sides do not belong together."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.data import Bitext, TrainingData

if TYPE_CHECKING:
    import numpy as np

    from bench.data.dimensions import Level  # only here, so that no result depends on the text of an option


def apply_level(data: TrainingData, level: Level, seed: int) -> TrainingData:
    """Return the data with less or worse bitext of each pair, the same rows for every method with this seed.

    The report gains `level`: the number of pairs `kept` of each source, and how many pairs are `misaligned`.
    """
    size, noise = level.bitext_size, level.bitext_noise
    if size is None and not noise:
        return data
    from bench.training.seeds import numpy_generator  # here, because training data are read without torch

    parts = [data.bitext.between(pair) for pair in data.pairs]
    if size is not None:
        parts = [sample(part, size, numpy_generator(seed, "bitext size")) for part in parts]
    aligned = Bitext.join(parts)
    if noise:
        parts = [misalign(part, noise, numpy_generator(seed, "bitext noise")) for part in parts]
    bitext = Bitext.join(parts)
    misaligned = sum(map(operator.ne, aligned.document_side, bitext.document_side))
    return replace(
        data,
        bitext=bitext,
        report={**data.report, "level": {"kept": Counter(bitext.sources), "misaligned": misaligned}},
    )


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


def _shuffled(count: int, rng: np.random.Generator) -> list[int]:
    return [int(row) for row in rng.permutation(count)]
