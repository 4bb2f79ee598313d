"""Judgments held out of the training data, for a checkpoint to be chosen by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.data import Pair, TrainingData, leakage
from bench.data.normalise import normalise
from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np

SHARE, LARGEST = 0.1, 500
"""How many of the judgments within the document language are held out: this share of them, and at most so many."""


def hold_out(data: TrainingData, rng: np.random.Generator) -> TrainingData:
    """The data with a random sample of the judgments within the document language as `validation`, and without every
    other row that repeats a text of it, exactly or nearly, as `bench.data.leakage` finds it.

    The report gains `held_out`: the rows of `validation`, and how many were `removed` from each source.
    Raises `BenchError` if there are no such judgments.
    """
    language = data.document_language
    judged = [row for row, pair in enumerate(data.relevance.pairs) if pair == Pair(language, language)]
    if len(judged) < 2:
        raise BenchError(
            f"recipe.selection needs judgments within {language}, of which the training data have {len(judged)}; "
            "name a collection that has some with --train, or leave it at 'last'"
        )
    chosen = rng.permutation(judged)[: min(max(round(SHARE * len(judged)), 1), LARGEST)]
    validation = data.relevance.take(sorted(chosen.tolist()))
    texts = {"validation": {normalise(text) for column in validation.columns[:2] for text in column}}
    bitext = leakage.remove(data.bitext, leakage.find_leaks(data.bitext, texts))
    relevance = leakage.remove(data.relevance, leakage.find_leaks(data.relevance, texts))
    removed = Counter(data.bitext.sources + data.relevance.sources) - Counter(bitext.sources + relevance.sources)
    return replace(
        data,
        bitext=bitext,
        relevance=relevance,
        validation=validation,
        report={**data.report, "held_out": {"validation": len(validation), "removed": dict(removed)}},
    )
