"""Bitext subsets: random samples of the bitext, and misaligned rows."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.data import Bitext, TrainingData

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BitextSubset:
    """Size and noise of the bitext of each pair in a training."""

    bitext_size: int | None = None
    """The largest number of rows; None for all."""
    bitext_noise: float = 0.0
    """The share of the rows that are misaligned."""

    @property
    def texts(self) -> dict[str, str]:
        """The values by field, as texts; empty for the default."""
        return {
            "bitext_size": "" if self.bitext_size is None else str(self.bitext_size),
            "bitext_noise": f"{self.bitext_noise:g}" if self.bitext_noise else "",
        }

    def folder(self) -> str:
        """Return the changed values, for the name of a folder."""
        size, noise = self.texts.values()
        return ".".join(filter(None, (size and f"{size}pairs", noise and f"noise{noise}")))

    def __str__(self) -> str:
        size = "" if self.bitext_size is None else f"{self.bitext_size:,}"
        noise = f"{100 * self.bitext_noise:g} % misaligned" if self.bitext_noise else ""
        return ", ".join(filter(None, (size, noise))) or "all"


def take_subset(
    data: TrainingData, subset: BitextSubset, generator: Callable[[str], np.random.Generator]
) -> TrainingData:
    """Return the data with a bitext subset of each pair. The rows depend on the `generator` of each purpose.

    In the report, `subset` has the number of rows `kept` of each source and of `misaligned` rows.
    """
    size, noise = subset.bitext_size, subset.bitext_noise
    if size is None and not noise:
        return data
    parts = [data.bitext.between(pair) for pair in data.pairs]
    if size is not None:
        parts = [sample(part, size, generator("bitext size")) for part in parts]
    aligned = Bitext.join(parts)
    if noise:
        parts = [misalign(part, noise, generator("bitext noise")) for part in parts]
    bitext = Bitext.join(parts)
    misaligned = sum(map(operator.ne, aligned.document_side, bitext.document_side))
    return replace(
        data,
        bitext=bitext,
        report={**data.report, "subset": {"kept": Counter(bitext.sources), "misaligned": misaligned}},
    )


def sample(bitext: Bitext, size: int, rng: np.random.Generator) -> Bitext:
    """Return `size` random rows in order, or all if there are fewer. Larger samples include smaller ones."""
    return bitext.take(sorted(_shuffled(len(bitext), rng)[:size]))


def misalign(bitext: Bitext, share: float, rng: np.random.Generator) -> Bitext:
    """Exchange the document sides of a random `share` of rows. Larger shares include smaller ones."""
    chosen = _shuffled(len(bitext), rng)[: round(share * len(bitext))]
    documents = list(bitext.document_side)
    # One cycle through all chosen rows moves each document.
    for row, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        documents[row] = bitext.document_side[other]
    return replace(bitext, document_side=tuple(documents))


def _shuffled(count: int, rng: np.random.Generator) -> list[int]:
    return [int(row) for row in rng.permutation(count)]
