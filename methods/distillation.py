"""Embedding distillation: the student's sentence embeddings regress on the teacher's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod
from methods.examples import TokenizedTexts, pair_batches, squared_distance


class DistillationConfig(TrainedConfig):
    learning_rate_factor: float = Field(1.4, gt=0)
    """Factor on the recipe's learning rates, also on that of word embeddings (results/tuning/distillation.csv)."""


class Distillation(TrainedMethod):
    """Embedding regression: S(f) approaches T(e) in squared distance.

    For a sentence e and its translation f, minimises |S(f) - T(e)|^2 over L2-normalised embeddings, averaged over the
    batch. With `document_encoder=student` the loss has the paper's second term, |S(e) - T(e)|^2 (Reimers & Gurevych
    2020, equation 1, which averages over dimensions too: a constant factor). The paper's student encodes documents,
    too. By default the teacher encodes them here, and the student never reads one.
    """

    name = "distillation"
    source = "Reimers & Gurevych 2020 (arXiv 2004.09813)"
    supervision = ("bitext",)
    Config = DistillationConfig

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        bitext, limit = task.data.bitext, task.recipe.max_length
        self.target = TokenizedTexts(task.teacher, bitext.document_side, "document", limit)
        self.sides = [TokenizedTexts(student, bitext.query_side, "query", limit)]
        if self.config.document_encoder == "student":
            self.sides.append(TokenizedTexts(student, bitext.document_side, "document", limit))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        lengths = self.sides[0].lengths + self.target.lengths
        rows = pair_batches(self.task, lengths, self.task.data.bitext.pairs, rng)
        return ({"bitext": batch} for batch in rows)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, loss = batch["bitext"], torch.zeros((), device=self.student.device)
        with torch.no_grad():
            target = self.target.embed(rows)
        for side in self.sides:
            loss = loss + squared_distance(side.embed(rows), target)
        return loss, {}
