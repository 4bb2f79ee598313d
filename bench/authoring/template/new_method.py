"""The method new-method, which imports from the harness only `bench.api`."""

from collections.abc import Iterator

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod, info_nce, language_batches


class NewMethodConfig(TrainedConfig):
    temperature: float = Field(0.05, gt=0)
    """The divisor of similarities."""


class NewMethod(TrainedMethod):
    """Bitext contrast: each sentence must be most similar to its own translation in the batch.

    Minimises -log softmax(cos(S(f), D(e)) / t) for a sentence f and its translation e (InfoNCE). The softmax is over
    all sentences e of the batch. S is the student, D encodes documents, and t is the temperature.

    Known limits: it trains on sentences, without queries.
    """

    name = "new-method"
    source = "a template: write authors, year and an identifier"
    supervision = ("bitext",)
    Config = NewMethodConfig

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        bitext, limit = task.data.bitext, task.recipe.max_length
        self.queries = student.tokenize(bitext.query_side, "query", limit)
        self.documents = self.document_encoder.tokenize(bitext.document_side, "document", limit)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        recipe, languages = self.task.recipe, self.task.data.bitext.pairs
        lengths = [len(ids) for ids in self.queries]
        for rows in language_batches(lengths, languages, recipe.batch_size, rng, recipe.language_sampling):
            yield {"bitext": rows}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        queries = self.embed(self.student, self.queries, batch["bitext"])
        documents = self.embed(self.document_encoder, self.documents, batch["bitext"])
        return info_nce(queries, documents, self.config.temperature), {}

    def embed(self, encoder: Encoder, ids: list[list[int]], rows: np.ndarray) -> Tensor:
        return encoder(encoder.collate([ids[row] for row in rows]))
