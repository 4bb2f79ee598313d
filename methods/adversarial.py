"""Adversarial alignment: a language discriminator behind a gradient reversal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from bench.api import Batch, Encoder, Pair, Task, TrainedConfig, TrainedMethod, info_nce, length_buckets
from methods.probe import language_probe_accuracy

PROBE_SENTENCES = 1000


class GradientReversal(torch.autograd.Function):
    """Identity forward, -strength times the gradient backward (Ganin & Lempitsky 2015)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """`x`, with its gradient reversed and scaled by `strength`."""
    return GradientReversal.apply(x, strength)


def reversal_strength(progress: float) -> float:
    """The ramp 2 / (1 + exp(-10 p)) - 1 over the training progress p (Ganin & Lempitsky 2015, section 4.1)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class AdversarialConfig(TrainedConfig):
    documents: Literal["teacher", "student"] = "student"
    strength: float = Field(1.0, ge=0)
    """The reversal strength that the ramp approaches."""
    temperature: float = Field(0.05, gt=0)
    """Of the contrastive task loss."""
    hidden: int = Field(256, gt=0)
    """Width of the discriminator's hidden layer."""
    discriminator_learning_rate: float = Field(1e-3, gt=0)


class Adversarial(TrainedMethod):
    """Adversarial alignment: learn English relevance while a discriminator must not tell the languages apart.

    Minimises InfoNCE on English queries and passages plus the cross-entropy of a two-layer language discriminator
    on the embedding that is scored, whose gradient is reversed on its way into the student. The target language
    enters as unlabelled text: the bitext's sides, shuffled apart, so that no translation pair is ever seen. Half of
    each batch is relevance, half are as many English as target sentences. One student encodes queries and documents.

    After training a fresh linear probe says whether the languages can still be told apart (`probe_accuracy`).
    """

    name = "adversarial"
    source = (
        "Ganin & Lempitsky 2015 (arXiv 1409.7495); MoDIR 2021 (arXiv 2110.07581) for dense retrieval; a reconstruction"
    )
    uses = ("relevance", "unpaired text")
    Config = AdversarialConfig

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        data, limit = task.data, task.recipe.max_length
        relevance = data.relevance.between(Pair(data.document_language, data.document_language))
        self.ids = {
            "query": student.tokenize(relevance.queries, "query", limit),
            "positive": self.document_encoder.tokenize(relevance.positives, "document", limit),
            "english": student.tokenize(data.bitext.document_side, "query", limit),
            "target": student.tokenize(data.bitext.query_side, "query", limit),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.torch_generator("discriminator").initial_seed())
            self.discriminator = nn.Sequential(
                nn.Linear(student.dimension, self.config.hidden), nn.ReLU(), nn.Linear(self.config.hidden, 2)
            ).to(student.device)

    def modules(self) -> list[tuple[nn.Module, float]]:
        return [(self.discriminator, self.config.discriminator_learning_rate)]

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        half = max(self.task.recipe.batch_size // 2, 1)
        streams = {
            name: length_buckets([len(ids) for ids in self.ids[name]], half, child)
            for name, child in zip(("positive", "english", "target"), rng.spawn(3), strict=True)
        }
        while True:
            yield {name: next(stream) for name, stream in streams.items()}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        task_loss = info_nce(
            self.embed("query", batch["positive"]),
            self.embed("positive", batch["positive"], self.document_encoder),
            self.config.temperature,
        )
        sentences = torch.cat([self.embed("english", batch["english"]), self.embed("target", batch["target"])])
        language = torch.zeros(len(sentences), dtype=torch.long, device=sentences.device)
        language[len(batch["english"]) :] = 1
        strength = self.config.strength * reversal_strength(progress)
        # Unit variance per dimension suits the discriminator's initialisation better than unit length.
        scored = functional.normalize(sentences, dim=-1) * self.student.dimension**0.5
        logits = self.discriminator(reverse_gradient(scored, strength)).float()
        language_loss = functional.cross_entropy(logits, language)
        accuracy = (logits.argmax(dim=-1) == language).float().mean()
        figures = {
            "task_loss": float(task_loss.detach()),
            "language_loss": float(language_loss.detach()),
            "discriminator_accuracy": float(accuracy),
            "reversal_strength": strength,
        }
        return task_loss + language_loss, figures

    def embed(self, name: str, rows: Sequence[int] | np.ndarray, encoder: Encoder | None = None) -> Tensor:
        encoder = encoder or self.student
        return encoder(encoder.collate([self.ids[name][i] for i in rows]))

    def diagnose(self) -> dict[str, Any]:
        """`probe_accuracy`: held-out accuracy of a fresh language probe on sentences that are no translation pairs."""
        bitext, rng = self.task.data.bitext, self.task.numpy_generator("probe")
        rows = rng.permutation(len(bitext))
        size = min(PROBE_SENTENCES, len(rows) // 2)
        if size < 2:  # too few for one to learn from and one to judge by
            return {}
        english = self.student.encode([bitext.document_side[i] for i in rows[:size]], "query")
        target = self.student.encode([bitext.query_side[i] for i in rows[size : 2 * size]], "query")
        return {"probe_accuracy": language_probe_accuracy(english, target, rng)}
