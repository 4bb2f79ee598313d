"""Batches of similar length: endless, seeded, and only indices, so that skipping ahead costs nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from bench.errors import BenchError


def language_batches(
    lengths: Sequence[int] | np.ndarray,
    languages: Sequence[Hashable],
    batch_size: int,
    rng: np.random.Generator,
    exponent: float = 1.0,
) -> Iterator[np.ndarray]:
    """Endless batches as those of `length_buckets`, each of one language, which is row i's `languages[i]`.

    A language is drawn for each batch, with a probability proportional to its number of rows to the power `exponent`
    (Conneau & Lample 2019, section 3.1). With one language it is `length_buckets` itself.
    """
    rows_of: dict[Hashable, list[int]] = {}
    for row, language in enumerate(languages):
        rows_of.setdefault(language, []).append(row)
    if len(rows_of) < 2:
        yield from length_buckets(lengths, batch_size, rng)
    shares = np.array([len(rows) for rows in rows_of.values()]) ** float(exponent)
    streams = [
        (np.array(rows), length_buckets([lengths[row] for row in rows], batch_size, child))
        for rows, child in zip(rows_of.values(), rng.spawn(len(rows_of)), strict=True)
    ]
    while True:
        rows, stream = streams[rng.choice(len(streams), p=shares / shares.sum())]
        yield rows[next(stream)]


def length_buckets(
    lengths: Sequence[int] | np.ndarray, batch_size: int, rng: np.random.Generator, batches_per_pool: int = 50
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
