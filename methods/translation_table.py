"""Translation tables: which words translate which, learned from bitext alone by IBM Model 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from pydantic import Field

from bench.api import BenchError, MethodConfig, ibm_model_1, normalise

Table = dict[str, dict[str, float]]
"""p(target word | source word), by source word and by target word."""

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
    """Learn the probabilities of `ibm_model_1` between words, and its log-likelihoods.

    Raises `BenchError` if there are no words to learn from.
    """
    sides = [[words(text) for text in side] for side in (source_side, target_side)]
    vocabularies = [sorted({word for sentence in side for word in sentence}) for side in sides]
    if not all(vocabularies):
        raise BenchError(
            "there is no bitext to learn a translation table from; name a collection that has some with --train"
        )
    numbers = [{word: i for i, word in enumerate(vocabulary)} for vocabulary in vocabularies]
    source, target = (
        [[number[word] for word in sentence] for sentence in side] for side, number in zip(sides, numbers, strict=True)
    )
    shape = (len(vocabularies[0]), len(vocabularies[1]))
    learned, log_likelihood = ibm_model_1(source, target, shape, iterations, minimum)
    table: Table = {}
    for row, column, value in zip(*learned.tocoo().coords, learned.data.tolist(), strict=True):
        table.setdefault(vocabularies[0][row], {})[vocabularies[1][column]] = value
    return table, tuple(log_likelihood)
