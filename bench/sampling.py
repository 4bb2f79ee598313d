"""Random generators of a training, and endless random batches of texts of similar length."""

import hashlib
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch

from bench.errors import BenchError


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator for `seed` and `purpose`. Generators of different purposes are independent."""
    return np.random.default_rng(_child(seed, purpose))


def torch_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator of torch on the CPU, as `numpy_generator`."""
    return torch.Generator().manual_seed(int(_child(seed, purpose).generate_state(1, np.uint64)[0] >> 1))


def _child(seed: int, purpose: str) -> np.random.SeedSequence:
    words = np.frombuffer(hashlib.sha256(purpose.encode()).digest()[:16], dtype=np.uint32)
    return np.random.SeedSequence([seed, *words.tolist()])


def language_batches(
    lengths: Sequence[int] | np.ndarray,
    languages: Sequence[Hashable],
    batch_size: int,
    rng: np.random.Generator,
    exponent: float = 1.0,
) -> Iterator[np.ndarray]:
    """Yield endless batches as `length_buckets`, each in one language; `languages[i]` is the language of row i.

    The probability of a language is proportional to its number of rows to the power `exponent` (Conneau & Lample 2019,
    section 3.1).
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
    lengths: Sequence[int] | np.ndarray, batch_size: int, rng: np.random.Generator, batches_per_bucket: int = 50
) -> Iterator[np.ndarray]:
    """Yield endless batches of row indices, (batch_size,) int64, with similar lengths in a batch.

    Each epoch is a new permutation, in buckets sorted by length. The short batch at its end is dropped, unless it is
    the only one. Raises `BenchError` if there are no rows.
    """
    sizes = np.asarray(lengths)
    if not len(sizes):
        raise BenchError("there is no training data of the kind that the method needs; add a collection with --train")
    while True:
        order = rng.permutation(len(sizes))
        usable = len(order) - len(order) % batch_size or len(order)
        for start in range(0, usable, batch_size * batches_per_bucket):
            bucket = order[start : min(start + batch_size * batches_per_bucket, usable)]
            bucket = bucket[np.argsort(sizes[bucket], kind="stable")]
            batches = [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
            for i in rng.permutation(len(batches)):
                yield batches[i]
