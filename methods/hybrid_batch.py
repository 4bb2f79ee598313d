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
from methods.glossing import GlossConfig, glossed


class HybridBatchConfig(TrainedConfig, GlossConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    alpha: float = Field(0.5, ge=0, le=1)
    """The probability that a batch is monolingual. The paper reports 0.4 to 0.6 as best."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines before the softmax (not from the paper)."""
    gloss: bool = True
    """Monolingual batches in a query language without judgments are English judgments translated word by word. False:
    all monolingual batches are judgments, as in the paper."""


class HybridBatch(TrainedMethod):
    """Hybrid batches: InfoNCE on batches within one language and on batches between two, mixed at random.

    A batch is monolingual (queries and passages in one language X) with probability alpha. Otherwise it is
    cross-lingual (queries in X, passages in Y, X != Y, in both directions). Minimises -log of the softmax over the
    batch's passages of cos(S(q), S(p)) / temperature. One student encodes queries and passages.

    Examples are judgments, as in the paper. If two languages have none, the examples are translations in both
    directions. If a query language X has none, they are English judgments with glossed queries and passages. In a
    gloss, each word is replaced by a translation drawn from p(f|e), the table that IBM Model 1 learns from the bitext.
    A gloss is drawn once, before the first step. The manifest of the training counts the examples of each origin.

    The languages of a batch are drawn in proportion to the number of their examples, so that a language with few
    judgments has few steps. The paper draws them uniformly (`recipe.language_sampling=0`).

    The paper has learning rate 3e-5, batches of 100 and the prefixes "Query: " and "Passage: ". It selects the
    checkpoint with the lowest English validation loss. These are settings of the recipe (`query_prompt`,
    `document_prompt`, `selection`). The defaults are those of all methods, for comparable students.
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
        if self.config.alpha == 1 and not self.config.gloss:
            self.supervision = ("relevance",)

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        config, data, alpha, rng = self.config, task.data, self.config.alpha, task.numpy_generator("glosses")
        rows, translations = examples(data)
        originals = rows
        if config.gloss and alpha > 0:
            english = data.relevance.between(Pair(data.document_language, data.document_language))
            lacking = [own for pair in data.pairs if (own := Pair(pair.query, pair.query)) not in rows.pairs]
            glosses = (glossed(english, pair, config.glossary(data, pair.query), 1.0, rng) for pair in lacking)
            rows, originals = Relevance.join([rows, *glosses]), Relevance.join([rows, *[english] * len(lacking)])
        self.examples = Examples(task, student, self.document_encoder, rows, originals)
        self.translations = np.append(translations, np.full(len(rows) - len(translations), -1))
        """The row of the bitext of each example, or -1."""
        monolingual = np.array([pair.query == pair.document for pair in rows.pairs], dtype=bool)
        self.kinds = np.flatnonzero(monolingual), np.flatnonzero(~monolingual)
        if alpha > 0 and not len(self.kinds[0]):
            raise BenchError("hybrid-batch has no judgments within one language for monolingual batches; set alpha=0")
        if alpha < 1 and not len(self.kinds[1]):
            raise BenchError("hybrid-batch has no bitext or judgments for cross-lingual batches; set alpha=1")
        task.outcome["examples"] = dict(Counter(f"{pair} {origin}" for origin, pair in rows.origins))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        monolingual, cross_lingual = (
            self.examples.batches(child, rows=rows) for rows, child in zip(self.kinds, rng.spawn(2), strict=True)
        )
        while True:
            yield {"examples": next(monolingual if rng.random() < self.config.alpha else cross_lingual)}

    def bitext_rows(self, batch: Batch) -> np.ndarray:
        rows = self.translations[batch["examples"]]
        return rows[rows >= 0]

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows = batch["examples"]
        pair = self.examples.rows.pairs[rows[0]]
        return self.examples.loss(rows, self.config.temperature), {"monolingual": float(pair.query == pair.document)}


def examples(data: TrainingData) -> tuple[Relevance, np.ndarray]:
    """Return the judgments, and the bitext in both directions for the pairs of languages without judgments; and the row
    of the bitext of each example, or -1.
    """
    judgments, forth = judged(data), translated(data.bitext)
    back = Relevance(
        forth.positives, forth.queries, forth.sources, tuple(Pair(pair.document, pair.query) for pair in forth.pairs)
    )
    bitext, known = Relevance.join([forth, back]), set(judgments.pairs)
    kept = np.array([row for row, pair in enumerate(bitext.pairs) if pair not in known], dtype=np.int64)
    rows = np.append(np.full(len(judgments), -1), kept % max(len(forth), 1))
    return Relevance.join([judgments, bitext.take(kept)]), rows
