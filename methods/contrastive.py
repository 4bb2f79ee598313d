"""Contrastive bitext: a sentence finds its translation among those of the batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod
from methods.examples import Examples, translated


class ContrastiveConfig(TrainedConfig):
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines before the softmax."""
    symmetric: bool = True
    """Average with the reverse direction: the translation finds the sentence (bidirectional translation ranking)."""


class Contrastive(TrainedMethod):
    """Contrastive bitext: InfoNCE of a sentence and its translation, the rest of the batch as negatives.

    For a sentence f with translation e minimises -log of the softmax over the batch of cos(S(f), D(e)) / temperature,
    averaged with the same for e among all f. D encodes documents and is the frozen teacher by default. The trained
    encoder and the data are then those of `distillation`, and only the loss differs. Other members of a pair's
    parallel group (the same sentence again, or another translation of it) are no negatives.
    """

    name = "contrastive"
    source = "van den Oord et al. 2018 (arXiv 1807.03748); on bitext as in LaBSE, Feng et al. 2022 (arXiv 2007.01852)"
    supervision = ("bitext",)
    Config = ContrastiveConfig

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.examples = Examples(task, student, self.document_encoder, translated(task.data.bitext))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        return ({"examples": rows} for rows in self.examples.batches(rng))

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        return self.examples.loss(batch["examples"], self.config.temperature, symmetric=self.config.symmetric), {}
