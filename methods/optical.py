"""OPTICAL: knowledge distillation through the optimal transport of token embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod
from methods.bitext import TokenizedBitext
from methods.transport import cosine_cost, entropic_plan, transport_loss, uniform_marginal


class OpticalConfig(TrainedConfig):
    epsilon: float = Field(0.05, gt=0)
    """Strength of the entropic regularisation, on a cost between 0 and 2 (not from the paper)."""
    tolerance: float = Field(1e-4, gt=0)
    """Largest deviation from the marginals at which the iterations stop."""
    max_iterations: int = Field(1000, gt=0)
    special_tokens: bool = False
    """Whether [CLS], [SEP] and their kin have mass (not from the paper)."""


class Optical(TrainedMethod):
    """Optimal transport distillation: the student's tokens approach the teacher's along a transport plan.

    For a sentence e and its translation f with token embeddings H^T(e) and H^S(f), minimises <P, C> with
    C_ij = 1 - cos(H^T(e)_i, H^S(f)_j) and P the entropic plan for C between uniform marginals, held constant. The
    teacher is frozen and encodes the documents; the student encodes queries.

    A reconstruction: the paper's abstract and claims could be read (the loss <P, C>, the frozen teacher, the
    query-side student, bitext as the only data); cost, marginals, solver and its strength are this project's choice.
    """

    name = "optical"
    source = "Huang, Yu & Allan 2023 (WSDM; arXiv 2301.12566), a reconstruction"
    uses = ("bitext",)
    Config = OpticalConfig

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.bitext = TokenizedBitext(task, student)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        return self.bitext.batches(rng)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, teacher, config = batch["bitext"], self.task.teacher, self.config
        english = teacher.collate([self.bitext.teacher_ids[i] for i in rows])
        foreign = self.student.collate([self.bitext.student_ids[i] for i in rows])
        with torch.no_grad():
            target = teacher.token_embeddings(english)
        cost = cosine_cost(target, self.student.token_embeddings(foreign))
        plan = entropic_plan(
            cost.detach(),
            uniform_marginal(english, special_tokens=config.special_tokens),
            uniform_marginal(foreign, special_tokens=config.special_tokens),
            config.epsilon,
            config.tolerance,
            config.max_iterations,
        )
        figures = {"plan_iterations": plan.iterations, "plans_unconverged": plan.unconverged(config.tolerance)}
        return transport_loss(plan.plan, cost).mean(), figures
