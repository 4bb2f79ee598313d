"""Translation tables: which words translate which, learned from bitext alone by IBM Model 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, chain

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array

from bench.api import BenchError, MethodConfig, normalise

Table = dict[str, dict[str, float]]
"""p(target word | source word), by source word and by target word."""
BLOCK = 1 << 22
"""Pairs of words that EM processes together, which bounds its memory."""

_UNSPACED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
# A combining mark is no word character to Python, so a letter includes the marks that follow it.
_CHARACTER = re.compile(rf"{_UNSPACED}(?:(?!\w){_UNSPACED})*")


def words(text: str) -> list[str]:
    """Return the words of a text, casefolded, split at spaces and punctuation such as apostrophes and hyphens.

    Nothing is stemmed. Han, kana, Thai, Lao, Burmese and Khmer are written without spaces and are split into
    characters, each with its combining marks. A Han character often has a meaning of its own. A letter of the others
    has none, and a table of such a language is a poor one.
    """
    return _CHARACTER.sub(r" \g<0> ", normalise(text)).split()


def prune(table: Table, cumulative: float, alternatives: int) -> Table:
    """Return a table with only the most probable translations of each word, best first, ties by the alphabet.

    A translation stays if those before it sum to less than `cumulative` and are fewer than `alternatives`.
    Probabilities are not normalised again.
    """
    pruned = {}
    for word, translations in table.items():
        best = sorted(translations.items(), key=lambda item: (-item[1], item[0]))[:alternatives]
        before = accumulate((probability for _, probability in best), initial=0.0)
        pruned[word] = {other: value for (other, value), total in zip(best, before, strict=False) if total < cumulative}
    return pruned


class TableConfig(MethodConfig):
    """The learning and the pruning of a translation table."""

    iterations: int = Field(10, gt=0)
    """Iterations of EM."""
    minimum_probability: float = Field(1e-4, ge=0, le=1)
    """Less probable translations are left out."""
    cumulative_probability: float = Field(0.99, gt=0, le=1)
    """The most probable translations of a word stay until their probabilities sum to this."""
    alternatives: int = Field(64, gt=0)
    """The largest number of translations of a word."""

    def table(self, source_side: Sequence[str], target_side: Sequence[str]) -> tuple[Table, tuple[float, ...]]:
        """Learn the pruned table from one side of a bitext to the other, as `learn_table`."""
        table, log_likelihood = learn_table(source_side, target_side, self.iterations, self.minimum_probability)
        return prune(table, self.cumulative_probability, self.alternatives), log_likelihood


def learn_table(
    source_side: Sequence[str], target_side: Sequence[str], iterations: int, minimum: float = 0.0
) -> tuple[Table, tuple[float, ...]]:
    """Learn IBM Model 1 (Brown et al. 1993, section 4.1) by EM, from uniform probabilities.

    Each word of a target sentence comes from a hidden word of its source sentence or from the empty word, which every
    source sentence has besides; all are equally probable beforehand. The likelihood is concave, so no start is better
    than another, and nothing is random. Returns the probabilities from `minimum` on, without the empty word's, and the
    log-likelihood of the target side before each iteration, mean per word in nats. Memory: 4 bytes for each pair of
    words in a pair of sentences and some 40 for each pair of types.

    Raises `BenchError` if there are no words to learn from.
    """
    source, source_ids, source_ends = _number([["", *words(text)] for text in source_side])
    target, target_ids, target_ends = _number([words(text) for text in target_side])
    if len(source) < 2 or not target:
        raise BenchError(
            "there is no bitext to learn a translation table from; name a collection that has some with --train"
        )
    occurs = [
        csr_array((np.ones(len(ids), dtype=np.int32), ids, ends), shape=(len(ends) - 1, len(vocabulary)))
        for vocabulary, ids, ends in ((source, source_ids, source_ends), (target, target_ids, target_ends))
    ]
    together = (occurs[0].T @ occurs[1]).tocsr()
    together.sort_indices()
    rows = np.repeat(np.arange(len(source)), np.diff(together.indptr))

    # The candidates of each word of the target side: their number, and their first position in the source side.
    target_lengths = np.diff(target_ends)
    sizes = np.repeat(np.diff(source_ends), target_lengths)
    begins = np.repeat(source_ends[:-1], target_lengths)
    blocks = np.array_split(np.arange(len(target_ids)), sizes.sum() // BLOCK + 1)
    # A pair of words is looked up once and not in every iteration.
    together.data = np.arange(together.nnz, dtype=np.int32)
    pairs = [
        together[source_ids[_ranges(begins[block], sizes[block])], np.repeat(target_ids[block], sizes[block])]
        for block in blocks
    ]

    probabilities = np.full(together.nnz, 1 / len(target))
    log_likelihood = []
    for _ in range(iterations):
        counts, likelihood = np.zeros(together.nnz), 0.0
        for block, pair in zip(blocks, pairs, strict=True):
            size, joint = sizes[block], probabilities[pair]
            total = np.add.reduceat(joint, size.cumsum() - size)
            likelihood += float(np.log(total / size).sum())
            np.add.at(counts, pair, joint / np.repeat(total, size))
        log_likelihood.append(likelihood / len(target_ids))
        probabilities = counts / np.bincount(rows, counts)[rows]
    table: Table = {}
    likely = np.flatnonzero((probabilities >= minimum) & (rows > 0))  # the empty word is the first
    for row, column, value in zip(rows[likely], together.indices[likely], probabilities[likely].tolist(), strict=True):
        table.setdefault(source[row], {})[target[column]] = value
    return table, tuple(log_likelihood)


def _number(sentences: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the sorted vocabulary, the numbers of all words, and the offsets of the sentences among them."""
    vocabulary = sorted(set(chain.from_iterable(sentences)))
    number = {word: i for i, word in enumerate(vocabulary)}
    ids = np.fromiter((number[word] for sentence in sentences for word in sentence), dtype=np.int64)
    return tuple(vocabulary), ids, np.cumsum([0, *map(len, sentences)])


def _ranges(begins: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return `sizes[i]` numbers from each `begins[i]` on, one range after the other."""
    return np.arange(sizes.sum()) + np.repeat(begins - (sizes.cumsum() - sizes), sizes)
