"""Random draws: independent seeded streams by name, and a draw that is fast enough for a corpus."""

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np

T = TypeVar("T")


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return a generator fixed by a seed and names, so that draws under one name never change those under another."""
    return np.random.default_rng(np.random.SeedSequence([seed, *(crc32(name.encode()) for name in names)]))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Return one of `items`, uniformly (ten times as fast as `Generator.choice`)."""
    return items[int(rng.random() * len(items))]
