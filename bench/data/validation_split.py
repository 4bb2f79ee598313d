"""The validation split: held-out judgments for the selection of a checkpoint."""

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
"""Held-out share of the judgments in the document language, and its maximum number."""


def split_validation(data: TrainingData, rng: np.random.Generator) -> TrainingData:
    """Return the data with a random sample of the judgments in the document language as `validation`.

    Other rows with a text of the sample are removed. The report gets `held_out`. Raises `BenchError` for fewer than two
    judgments.
    """
    language = data.document_language
    judged = [row for row, pair in enumerate(data.relevance.pairs) if pair == Pair(language, language)]
    if len(judged) < 2:
        raise BenchError(
            f"recipe.selection needs at least 2 judgments within {language}, and the training data have {len(judged)}; "
            "name a collection that has some with --train, or set it to 'last'"
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
