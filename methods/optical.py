"""OPTICAL: knowledge distillation through the optimal transport of token embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from bench.api import Batch, BenchError, Encoder, Task, TrainedConfig, TrainedMethod, word_pieces
from methods import solvers
from methods.bitext import TokenizedBitext
from methods.transport import (
    cosine_cost,
    inverse_document_frequency,
    marginal,
    squared_euclidean_cost,
    transport_loss,
    word_starts,
    words,
)

Solver = Literal["entropic", "exact", "proximal", "unbalanced", "partial", "quadratic", "group-lasso", "greedy"]

ITERATIVE = ("tolerance", "max_iterations")
READ_BY: dict[Solver, tuple[str, ...]] = {
    "entropic": ("epsilon", *ITERATIVE),
    "exact": (),
    "proximal": ("proximal_step", *ITERATIVE),
    "unbalanced": ("epsilon", "relaxation", *ITERATIVE),
    "partial": ("epsilon", "mass", *ITERATIVE),
    "quadratic": ("quadratic_strength",),
    "group-lasso": ("epsilon", "group_strength", *ITERATIVE),
    "greedy": (),
}
"""The settings that each solver reads."""


class OpticalConfig(TrainedConfig):
    """No number of it is from the paper."""

    solver: Solver = "entropic"
    """`exact`; with entropy: `entropic`, `unbalanced` (marginals at a price), `partial` (a share of the mass),
    `group-lasso` (an English token goes to the pieces of few words); `proximal` (IPOT, towards `exact`); `quadratic` (a
    sparse plan); or `greedy` (each student token to its nearest teacher token, no transport)."""
    epsilon: float = Field(0.05, gt=0)
    """Strength of the entropic regularisation, on a cost between 0 and 2 (entropic, unbalanced, partial, group-lasso).
    """
    proximal_step: float = Field(0.5, gt=0)
    """Strength of the divergence from the last plan (proximal); smaller means fewer, harder steps."""
    relaxation: float = Field(0.5, gt=0)
    """Price of a divergence from the marginals (unbalanced); a token whose cost is well above it loses its mass."""
    mass: float = Field(0.8, gt=0, le=1)
    """Share of the mass that is transported (partial)."""
    quadratic_strength: float = Field(1.0, gt=0)
    """Of half the squared norm of the plan (quadratic); larger is less sparse."""
    group_strength: float = Field(0.1, gt=0)
    """Of the norms of what an English token sends to each word of the student's side (group-lasso)."""
    tolerance: float = Field(1e-4, gt=0)
    """Largest deviation from the marginals, or movement of the plan, as mass, at which the iterations stop."""
    max_iterations: int = Field(1000, gt=0)
    """At which they stop in any case; `plans_unconverged` in the log is the share of problems that need more."""
    marginals: Literal["uniform", "norm", "idf"] = "uniform"
    """A token's mass: the same for all, in proportion to the norm of its embedding, or to the inverse document
    frequency of its word piece in the bitext."""
    cost: Literal["cosine", "squared_euclidean"] = "cosine"
    """One minus the cosine, or the squared distance of the embeddings as they are, in units of the mean squared norm of
    the sentence's teacher tokens."""
    layer: int = -1
    """Whose hidden states are transported, for teacher and student: -1 is the last, 0 the word embeddings. What the
    student has above is not trained."""
    special_tokens: bool = False
    """Whether [CLS], [SEP] and their kin have mass."""

    @model_validator(mode="after")
    def _solver_reads_what_is_set(self) -> Self:
        for name in sorted({name for names in READ_BY.values() for name in names}):
            if name not in READ_BY[self.solver] and getattr(self, name) != type(self).model_fields[name].default:
                readers = ", ".join(solver for solver, names in READ_BY.items() if name in names)
                raise ValueError(f"{name} means nothing to the solver {self.solver}; it belongs to {readers}")
        return self


@dataclass(frozen=True)
class Side:
    """One side of the bitext as one encoder reads it: token ids of each sentence, and weights and word starts of the
    vocabulary.
    """

    encoder: Encoder
    ids: Sequence[Sequence[int]]
    weights: Tensor
    starts: Tensor


@dataclass(frozen=True)
class Tokens:
    """A batch of sentences: embeddings (n, length, dimension) of their tokens, their mass and word (n, length)."""

    embeddings: Tensor
    mass: Tensor
    words: Tensor


class Optical(TrainedMethod):
    """Optimal transport distillation: the student's tokens approach the teacher's along a transport plan.

    For a sentence e and its translation f with token embeddings H^T(e) and H^S(f), minimises <P, C> with
    C_ij = 1 - cos(H^T(e)_i, H^S(f)_j) and P the entropic plan for C between uniform marginals, held constant. The
    teacher is frozen and encodes the documents; the student encodes queries. With `documents=student` it reads e, too,
    and <P', C'> between H^T(e) and H^S(e) is added.

    A reconstruction: the paper's abstract and claims could be read (the loss <P, C>, the frozen teacher, the
    query-side student, bitext as the only data); cost, marginals, solver and its strength are this project's choice.
    The solver `greedy` is its closest relative, the student of DR.DECR (Li et al. 2021).

    Known limits: `greedy` needs a student that reads the language already. From new word embeddings all of its tokens
    move to a few frequent ones of the teacher's, for nothing asks for the others. `quadratic` and `proximal` take
    longer than the rest of a tiny encoder's step.
    """

    name = "optical"
    source = "Huang, Yu & Allan 2023 (WSDM; arXiv 2301.12566), a reconstruction"
    uses = ("bitext",)
    Config = OpticalConfig
    aligners = tuple({"solver": solver} for solver in get_args(Solver))

    def prepare(self, task: Task, student: Encoder) -> None:
        """Raises `BenchError` for a layer that the encoder does not have."""
        super().prepare(task, student)
        self.bitext = TokenizedBitext(task, student)
        self.english = self.side(task.teacher, self.bitext.teacher_ids)
        self.student_sides = [self.side(student, self.bitext.student_ids)]
        if self.document_encoder is student:
            ids = student.tokenize(task.data.bitext.document_side, "document", task.recipe.max_length)
            self.student_sides.append(self.side(student, ids))

    def side(self, encoder: Encoder, ids: Sequence[Sequence[int]]) -> Side:
        layers = encoder.transformer.config.num_hidden_layers
        if not -layers - 1 <= self.config.layer <= layers:
            raise BenchError(
                f"optical: {encoder.name} has no layer {self.config.layer}; name one from {-layers - 1} to {layers}"
            )
        size = len(encoder.tokenizer)
        weights = inverse_document_frequency(ids, size) if self.config.marginals == "idf" else torch.ones(size)
        return Side(encoder, ids, weights.to(encoder.device), word_starts(encoder).to(encoder.device))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        return self.bitext.batches(rng)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        with torch.no_grad():
            english = self.read(self.english, [self.english.ids[i] for i in batch["bitext"]])
        loss, plans = torch.zeros((), device=english.mass.device), []
        for side in self.student_sides:
            distance, plan = self.transport(english, self.read(side, [side.ids[i] for i in batch["bitext"]]))
            loss = loss + distance
            plans.append(plan)
        return loss, {
            "plan_iterations": max(plan.iterations for plan in plans),
            "plans_unconverged": sum(plan.unconverged(self.config.tolerance) for plan in plans) / len(plans),
        }

    def read(self, side: Side, ids: Sequence[Sequence[int]]) -> Tokens:
        batch = side.encoder.collate(ids)
        embeddings = side.encoder.token_embeddings(batch, self.config.layer)
        weights = side.weights[batch.input_ids]
        if self.config.marginals == "norm":
            weights = embeddings.detach().float().norm(dim=-1)
        mass = marginal(weights, batch, special_tokens=self.config.special_tokens)
        return Tokens(embeddings, mass, words(batch, side.starts))

    def transport(self, english: Tokens, student: Tokens) -> tuple[Tensor, solvers.Plan]:
        """The mean <P, C> of a batch of sentence pairs, and the plans."""
        if self.config.cost == "cosine":
            cost = cosine_cost(english.embeddings, student.embeddings)
        else:
            cost = squared_euclidean_cost(english.embeddings, student.embeddings, english.mass)
        plan = self.plan(cost.detach(), english.mass, student.mass, student.words)
        return transport_loss(plan.plan, cost).mean(), plan

    @torch.no_grad()
    def plan(self, cost: Tensor, a: Tensor, b: Tensor, words: Tensor) -> solvers.Plan:
        """The plans for a cost (batch, n, m) between mass a (batch, n) of teacher tokens and b (batch, m) of student
        tokens, which are pieces of `words` (batch, m).
        """
        config = self.config
        stop = solvers.Stop(config.tolerance, config.max_iterations)
        with torch.autocast(cost.device.type, enabled=False):
            match config.solver:
                case "exact":
                    return solvers.exact(cost, a, b)
                case "proximal":
                    return solvers.proximal(cost, a, b, config.proximal_step, stop)
                case "unbalanced":
                    return solvers.unbalanced(cost, a, b, config.epsilon, config.relaxation, stop)
                case "partial":
                    return solvers.partial(cost, a, b, config.epsilon, config.mass, stop)
                case "quadratic":
                    return solvers.quadratic(cost, a, b, config.quadratic_strength)
                case "group-lasso":
                    return solvers.group_lasso(cost, a, b, words, config.epsilon, config.group_strength, stop)
                case "greedy":
                    return solvers.greedy(cost, a, b)
            return solvers.entropic(cost, a, b, config.epsilon, stop)

    @torch.no_grad()
    def align(self, english: Sequence[str], foreign: Sequence[str]) -> np.ndarray:
        """The mass that the plan moves between the words of a sentence and of its translation."""
        tokens, members = [], []
        for side, sentence in ((self.english, english), (self.student_sides[0], foreign)):
            ids, word_ids = word_pieces(side.encoder, sentence)
            tokens.append(self.read(side, [ids]))
            of_no_word = [len(sentence) if word is None else word for word in word_ids]
            members.append(functional.one_hot(torch.tensor(of_no_word), len(sentence) + 1)[:, :-1].float())
        plan = self.transport(*tokens)[1].plan[0].cpu()
        return (members[0].T @ plan @ members[1]).numpy()
