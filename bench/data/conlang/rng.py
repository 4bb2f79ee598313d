"""Random generators by name, and a fast random choice."""

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np

T = TypeVar("T")


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return a generator for a seed and names. Generators of different names are independent."""
    return np.random.default_rng(np.random.SeedSequence([seed, *(crc32(name.encode()) for name in names)]))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Return one of `items`, uniformly (ten times as fast as `Generator.choice`)."""
    return items[int(rng.random() * len(items))]
