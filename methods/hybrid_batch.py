"""Hybrid batches: monolingual and cross-lingual retrieval examples alternate at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.api import Batch, BenchError, Encoder, Pair, Relevance, Task, TrainedConfig, TrainedMethod, TrainingData
from methods.examples import Examples, judged, translated


class HybridBatchConfig(TrainedConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    alpha: float = Field(0.5, ge=0, le=1)
    """The probability that a batch is monolingual. The paper reports 0.4 to 0.6 as best."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines before the softmax (not from the paper)."""


class HybridBatch(TrainedMethod):
    """Hybrid batches: InfoNCE on batches within one language and on batches between two, mixed at random.

    A batch is monolingual with probability alpha (queries and passages in one language X, drawn uniformly from those
    that have such examples), else cross-lingual (queries in X, passages in Y, the pair drawn uniformly from the pairs
    with X != Y, in both directions). Minimises -log of the softmax over the batch's passages of cos(S(q), S(p)) /
    temperature. One student encodes queries and passages.

    Examples are judgments in the languages of each, and translations in both directions for pairs of languages
    without judgments. The training's manifest counts them. With judgments in English only, all monolingual batches are
    English.

    The paper's optimisation consists of settings of the harness: learning rate 3e-5, batches of 100, the prefixes
    "Query: " and "Passage: " (`recipe.query_prompt`, `recipe.document_prompt`), and the checkpoint with the lowest
    English validation loss (`recipe.selection`). The defaults are those of all methods, for comparable students.
    """

    name = "hybrid-batch"
    source = "Elmahdy et al. 2024 (arXiv 2408.10536)"
    supervision: tuple[str, ...] = ("relevance", "bitext")
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "monolingual-batches": {"alpha": 1.0},
        "cross-lingual-batches": {"alpha": 0.0},
    }
    Config = HybridBatchConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {"temperature": (0.02, 0.05, 0.1), "alpha": (0.25, 0.5, 0.75)}

    def __init__(self, config: HybridBatchConfig | None = None) -> None:
        super().__init__(config)
        if self.config.alpha == 1:
            self.supervision = ("relevance",)

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        rows, alpha = examples(task.data), self.config.alpha
        self.examples = Examples(task, student, self.document_encoder, rows)
        monolingual = np.array([pair.query == pair.document for pair in rows.pairs], dtype=bool)
        self.kinds = np.flatnonzero(monolingual), np.flatnonzero(~monolingual)
        if alpha > 0 and not len(self.kinds[0]):
            raise BenchError("hybrid-batch has no judgments within one language for monolingual batches; set alpha=0")
        if alpha < 1 and not len(self.kinds[1]):
            raise BenchError("hybrid-batch has no bitext or judgments for cross-lingual batches; set alpha=1")
        task.outcome["examples"] = dict(Counter(f"{pair} {origin}" for origin, pair in rows.origins))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        monolingual, cross_lingual = (
            self.examples.batches(child, rows=rows, exponent=0)  # languages are drawn uniformly
            for rows, child in zip(self.kinds, rng.spawn(2), strict=True)
        )
        while True:
            yield {"examples": next(monolingual if rng.random() < self.config.alpha else cross_lingual)}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows = batch["examples"]
        pair = self.examples.rows.pairs[rows[0]]
        return self.examples.loss(rows, self.config.temperature), {"monolingual": float(pair.query == pair.document)}


def examples(data: TrainingData) -> Relevance:
    """Return the judgments, and the bitext in both directions for the pairs of languages without judgments."""
    judgments, forth = judged(data), translated(data.bitext)
    back = Relevance(
        forth.positives, forth.queries, forth.sources, tuple(Pair(pair.document, pair.query) for pair in forth.pairs)
    )
    bitext, known = Relevance.join([forth, back]), set(judgments.pairs)
    return Relevance.join([judgments, bitext.take(row for row, pair in enumerate(bitext.pairs) if pair not in known)])
