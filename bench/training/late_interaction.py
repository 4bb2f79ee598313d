"""Late-interaction teachers: encoders whose token embeddings are trained to be compared by `maxsim`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.data import Bitext, Relevance, TrainingData
from bench.encoders.encoder import Encoder
from bench.evaluation.maxsim import own_tokens
from bench.recipe import Budget, Recipe
from bench.training.loop import Batch, TrainedConfig
from bench.training.method import Task
from bench.training.tiny import TEMPERATURE, EnglishRetrieval

RECIPE = Recipe(batch_size=32, learning_rate=3e-5, embedding_learning_rate=3e-5, max_length=180)
"""This project's own choice, not tuned."""


class LateInteraction(EnglishRetrieval):
    """Contrastive training of token embeddings on English questions and passages.

    Minimises -log of the softmax over the batch's passages of maxsim(q, p) / (|q| * temperature), where |q| is the
    number of the question's tokens. Another question's passage is no negative if its text is the same.
    """

    name = "late-interaction"

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        number = {text: i for i, text in enumerate(dict.fromkeys(task.data.relevance.positives))}
        self.passages = np.array([number[text] for text in task.data.relevance.positives])

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows = batch["relevance"]
        queries = own_tokens(self.student, [self.queries[row] for row in rows], "query")
        passages = own_tokens(self.student, [self.positives[row] for row in rows], "document")
        scores = mean_maxsim(*queries, *passages) / TEMPERATURE
        passage = torch.from_numpy(self.passages[rows]).to(scores.device)
        same = (passage[:, None] == passage) & ~torch.eye(len(rows), dtype=torch.bool, device=scores.device)
        target = torch.arange(len(rows), device=scores.device)
        return functional.cross_entropy(scores.masked_fill(same, -torch.inf), target), {}


def mean_maxsim(queries: Tensor, in_query: Tensor, documents: Tensor, in_document: Tensor) -> Tensor:
    """Return the mean over each query's tokens of their largest cosine with a document's tokens, (n, m) float32.

    Embeddings are (n, length, dimension) float32, L2-normalised; the masks (n, length) bool are False for padding and
    special tokens.
    """
    with torch.autocast(queries.device.type, enabled=False):
        cosines = torch.einsum("qid,pjd->qpij", queries, documents)
    nearest = cosines.masked_fill(~in_document[None, :, None, :], -1.0).amax(dim=3)
    return (nearest * in_query[:, None, :]).sum(dim=2) / in_query.sum(dim=1).clamp(min=1)[:, None]


def late_interaction_teacher(
    encoder: Encoder,
    judgments: Relevance,
    budget: Budget,
    seed: int = 0,
    precision: str = "float32",
    on_step: Callable[[dict[str, Any]], None] = lambda record: None,
) -> Encoder:
    """Return a copy of an encoder, trained on judgments within one language. Raises `CellFailed` if it diverges."""
    student = encoder.copy().requires_grad_(True).train()
    data = TrainingData(judgments.pairs[:1], Bitext.join([]), judgments)
    task = Task(data, encoder, lambda **_: student, budget, RECIPE, seed, precision, on_step)
    return LateInteraction(TrainedConfig(document_encoder="student")).fit(task).query_encoder.freeze()
