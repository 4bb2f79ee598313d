"""Batches of similar length: endless, seeded, and only indices, so that skipping ahead costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.errors import BenchError


def length_buckets(
    lengths: Sequence[int], batch_size: int, rng: np.random.Generator, batches_per_pool: int = 50
) -> Iterator[np.ndarray]:
    """Endless batches of row indices, (batch_size,) int64, of similar length within a batch.

    Each epoch is a fresh permutation, cut into pools that are sorted by length and split into batches,
    whose order within the pool is shuffled again. The last, short batch of an epoch is dropped unless it is the only
    one.

    Raises `BenchError` when there is nothing to sample from.
    """
    sizes = np.asarray(lengths)
    if not len(sizes):
        raise BenchError("there is no training data of the kind this method needs")
    while True:
        order = rng.permutation(len(sizes))
        usable = len(order) - len(order) % batch_size or len(order)
        for start in range(0, usable, batch_size * batches_per_pool):
            pool = order[start : min(start + batch_size * batches_per_pool, usable)]
            pool = pool[np.argsort(sizes[pool], kind="stable")]
            batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
            for i in rng.permutation(len(batches)):
                yield batches[i]
