"""Embedding distillation: the student's sentence embeddings regress on the teacher's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod
from methods.bitext import TokenizedBitext


class DistillationConfig(TrainedConfig):
    english_side: bool = True
    """Whether the student also reproduces the teacher on the document side, as in the paper."""


class Distillation(TrainedMethod):
    """Embedding regression: S(f) and S(e) approach T(e) in squared distance.

    For a sentence e and its translation f, minimises |S(f) - T(e)|^2 + |S(e) - T(e)|^2 over L2-normalised
    embeddings, averaged over the batch (Reimers & Gurevych 2020, equation 1, which averages over dimensions too: a
    constant factor). Documents are encoded by the teacher.
    """

    name = "distillation"
    source = "Reimers & Gurevych 2020 (arXiv 2004.09813)"
    uses = ("bitext",)
    Config = DistillationConfig

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.bitext = TokenizedBitext(task, student, both_sides=self.config.english_side)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        return self.bitext.batches(rng)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, teacher = batch["bitext"], self.task.teacher
        with torch.no_grad():
            target = functional.normalize(teacher(teacher.collate([self.bitext.teacher_ids[i] for i in rows])), dim=-1)
        loss = self.distance(self.bitext.student_ids, rows, target)
        if self.config.english_side:
            loss = loss + self.distance(self.bitext.student_document_ids, rows, target)
        return loss, {}

    def distance(self, ids: list[list[int]], rows: np.ndarray, target: Tensor) -> Tensor:
        embeddings = functional.normalize(self.student(self.student.collate([ids[i] for i in rows])), dim=-1)
        return (embeddings - target).square().sum(dim=-1).mean()
