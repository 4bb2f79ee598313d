"""IBM Model 1: translation probabilities of tokens, learned from aligned sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

BLOCK = 1 << 22
"""Pairs of tokens in a step of EM, which bounds its temporary memory."""


def ibm_model_1(
    source: Sequence[Sequence[int]],
    target: Sequence[Sequence[int]],
    shape: tuple[int, int],
    iterations: int,
    minimum: float = 0.0,
) -> tuple[csr_array, list[float]]:
    """Learn p(target token | source token) by EM from uniform probabilities (Brown et al. 1993, section 4.1).

    Each token of `target[i]` comes from a hidden token of `source[i]` or from an additional empty token, with equal
    prior probability. The likelihood is concave, and nothing is random. `shape` bounds the token ids of both sides.

    Returns the probabilities from `minimum` on, `shape` float64, without the empty token. Also returns the
    log-likelihood of the target side before each iteration, as a mean per token in nats.

    Memory: about 25 bytes for each pair of tokens in a pair of sentences.
    """
    source_ids, source_lengths = _flat([[shape[0], *sentence] for sentence in source])
    target_ids, target_lengths = _flat(target)

    # Number of candidates of each target token, and the end of their range among all pairs.
    sizes = np.repeat(source_lengths, target_lengths)
    ends = sizes.cumsum()
    begins = np.repeat(source_lengths.cumsum() - source_lengths, target_lengths)
    pairs = source_ids[np.arange(sizes.sum()) - np.repeat(ends - sizes - begins, sizes)] * shape[1]
    pairs += np.repeat(target_ids, sizes)
    # Pairs are numbered once, not in every iteration.
    numbers, types = pd.factorize(pairs)
    numbers, rows = numbers.astype(np.int32), types // shape[1]
    del pairs

    blocks = [
        (slice(block[0], block[-1] + 1), slice(ends[block[0]] - sizes[block[0]], ends[block[-1]]))
        for block in np.array_split(np.arange(len(sizes)), sizes.sum() // BLOCK + 1)
    ]
    probabilities = np.full(len(types), 1 / len(np.unique(target_ids)))
    log_likelihood = []
    for _ in range(iterations):
        counts, likelihood = np.zeros(len(types)), 0.0
        for tokens, span in blocks:
            size, joint = sizes[tokens], probabilities[numbers[span]]
            total = np.add.reduceat(joint, size.cumsum() - size)
            likelihood += float(np.log(total / size).sum())
            np.add.at(counts, numbers[span], joint / np.repeat(total, size))
        log_likelihood.append(likelihood / len(sizes))
        probabilities = counts / np.bincount(rows, counts)[rows]
    likely = (probabilities >= minimum) & (rows < shape[0])
    table = csr_array((probabilities[likely], (rows[likely], types[likely] % shape[1])), shape)
    table.sort_indices()
    return table, log_likelihood


def _flat(sentences: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all sentences, one after the other, and the length of each sentence."""
    return (
        np.fromiter(chain.from_iterable(sentences), dtype=np.int64),
        np.fromiter(map(len, sentences), dtype=np.int64),
    )
