"""Translate-distill: for a question translated by words, the student scores passages as the teacher does in English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, normalize

from bench.api import Batch, Encoder, Relevance, Task, TrainedConfig, TrainedMethod, autocast
from methods.examples import TokenizedTexts, pair_batches, squared_distance
from methods.glossing import GlossConfig, english_judgments, glossed


class TranslateDistillConfig(TrainedConfig, GlossConfig):
    document_encoder: Literal["teacher"] = "teacher"
    """The frozen teacher, whose scores the student learns."""
    probability: float = Field(1.0, ge=0, le=1)
    """Probability that a word of a question is replaced by its translation, if it has one."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines of teacher and student before the softmax."""
    distance_weight: float = Field(1.0, ge=0)
    """Weight of the squared distance between the student's question and the teacher's (this project's own)."""


class TranslateDistill(TrainedMethod):
    """Translate-distill: learn from the teacher how it scores passages for English questions, given translations.

    For an English question q and its gloss g minimises, with L2-normalised embeddings,

        KL(softmax(cos(T(q), T(d)) / temperature) || softmax(cos(S(g), T(d)) / temperature))
        + distance_weight |S(g) - T(q)|^2

    The softmax is over all distinct passages d of the English judgments. T is the frozen teacher, whose embeddings are
    computed once. The method does not use the relevant passage of a question.

    In a gloss, each word is replaced by a translation drawn from p(f|e), the table that IBM Model 1 learns from the
    bitext. Every question has one gloss in each query language, drawn before the first step.

    A reconstruction: the paper was not read in full. It uses machine translation of questions or passages, teachers
    that are cross-encoders, and passages that a search returns for the question. Here the teacher is the dual encoder
    of all methods, so scoring all passages costs little.

    Known limits: a gloss has English word order, and its words are not chosen by their context. All passages of the
    judgments are in memory.
    """

    name = "translate-distill"
    source = "Yang et al. 2024 (arXiv 2401.04810), a reconstruction"
    supervision = ("relevance", "bitext")
    Config = TranslateDistillConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "temperature": (0.02, 0.05, 0.1),
        "probability": (0.5, 1.0),
        "distance_weight": (0.0, 0.3, 1.0, 3.0),
    }

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        config, data, rng = self.config, task.data, task.numpy_generator("glosses")
        judgments = english_judgments(data)
        self.rows = Relevance.join(
            glossed(judgments, pair, config.glossary(data, pair.query), config.probability, rng) for pair in data.pairs
        )
        self.glosses = TokenizedTexts(student, self.rows.queries, "query", task.recipe.max_length)
        with autocast(task.teacher.device, task.precision):
            questions = task.teacher.encode(judgments.queries, "query")
        self.questions = torch.from_numpy(questions).to(student.device)
        self.passages = torch.from_numpy(task.teacher_embeddings([*dict.fromkeys(judgments.positives)]))
        self.passages = self.passages.to(student.device)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        return ({"glosses": rows} for rows in pair_batches(self.task, self.glosses.lengths, self.rows.pairs, rng))

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows = batch["glosses"]
        queries = normalize(self.glosses.embed(rows).float(), dim=1)
        questions = self.questions[torch.from_numpy(rows % len(self.questions)).to(queries.device)]
        # A cosine in bfloat16 has two decimals, too few to be divided by a temperature.
        with torch.autocast(queries.device.type, enabled=False):
            expected, scores = (
                log_softmax(embeddings @ self.passages.T / self.config.temperature, dim=1)
                for embeddings in (questions, queries)
            )
        divergence = kl_div(scores, expected, reduction="batchmean", log_target=True)
        distance = squared_distance(queries, questions)
        figures = {"divergence": float(divergence.detach()), "distance": float(distance.detach())}
        return divergence + self.config.distance_weight * distance, figures
