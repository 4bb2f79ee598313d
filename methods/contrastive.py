"""Contrastive bitext: a sentence finds its translation among those of the whole bitext or of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod, info_nce
from methods.examples import Examples, squared_distance, translated


class ContrastiveConfig(TrainedConfig):
    negatives: Literal["bitext", "batch"] | None = None
    """The negatives of a sentence: the document side of the whole bitext, whose embeddings by the frozen teacher are
    computed once, or the other translations of the batch. By default the first with `document_encoder=teacher`, and the
    second otherwise."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines before the softmax."""
    symmetric: bool = True
    """Average with the reverse direction within the batch: the translation finds the sentence (bidirectional
    translation ranking)."""
    margin: float = Field(0.0, ge=0)
    """Subtracted from the cosine of a sentence and its translation (additive margin softmax; LaBSE has 0.3)."""
    distance_weight: float = Field(1.0, ge=0)
    """Weight of the squared distance between a sentence and its translation (this project's own)."""

    @model_validator(mode="after")
    def _bank_of_a_frozen_encoder(self) -> Self:
        if self.negatives == "bitext" and self.document_encoder == "student":
            raise ValueError("negatives=bitext needs document_encoder=teacher; set negatives=batch")
        return self

    @property
    def has_bank(self) -> bool:
        return self.document_encoder == "teacher" and self.negatives != "batch"


class Contrastive(TrainedMethod):
    """Contrastive bitext: InfoNCE of a sentence and its translation, with the whole bitext as negatives.

    For a sentence f with translation e minimises, with L2-normalised embeddings,

        -log softmax(cos(S(f), D(e)) / temperature) + distance_weight |S(f) - D(e)|^2

    The softmax is over documents. The first term is averaged with the same term for e among all f of the batch. D
    encodes documents and is the frozen teacher by default. Its embeddings of all distinct sentences of the document
    side are then computed once, and all of them are negatives. Other members of the parallel group of a pair (the same
    sentence, or another translation of it) are no negatives.
    """

    name = "contrastive"
    source = "van den Oord et al. 2018 (arXiv 1807.03748); on bitext as in LaBSE, Feng et al. 2022 (arXiv 2007.01852)"
    supervision = ("bitext",)
    Config = ContrastiveConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "temperature": (0.02, 0.05, 0.1, 0.2),
        "distance_weight": (0.0, 0.3, 1.0, 3.0),
    }

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.examples = Examples(task, student, self.document_encoder, translated(task.data.bitext))
        if self.config.has_bank:
            texts = self.examples.rows.positives
            place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
            self.place = np.array([place[text] for text in texts])
            """The row of each sentence's translation in the bank."""
            _, first = np.unique(self.place, return_index=True)
            self.bank_groups = self.examples.groups[first]
            self.bank = torch.from_numpy(task.teacher_embeddings(list(place))).to(student.device)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        return ({"bitext": rows} for rows in self.examples.batches(rng))

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        config, rows, examples = self.config, batch["bitext"], self.examples
        queries, related = examples.queries.embed(rows), examples.related(rows, rows)
        if config.has_bank:
            place = torch.from_numpy(self.place[rows]).to(queries.device)
            translations = self.bank[place]
            same = torch.from_numpy(examples.groups[rows][:, None] == self.bank_groups[None, :]).to(queries.device)
            loss = info_nce(queries, self.bank, config.temperature, same, place, config.margin)
        else:
            translations = examples.positives.embed(rows)
            loss = info_nce(queries, translations, config.temperature, related, margin=config.margin)
        if config.symmetric:
            loss = (loss + info_nce(translations, queries, config.temperature, related, margin=config.margin)) / 2
        distance = squared_distance(queries, translations)
        figures = {"contrastive_loss": float(loss.detach()), "distance": float(distance.detach())}
        return loss + config.distance_weight * distance, figures
