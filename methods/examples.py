"""Retrieval examples: queries, each with a document that answers it, tokenised once, and the contrast between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.api import (
    Bitext,
    Encoder,
    Pair,
    Relevance,
    Task,
    TrainingData,
    info_nce,
    language_batches,
    parallel_groups,
)

Origin = Literal["relevance", "bitext"]


def judged(data: TrainingData) -> Relevance:
    """The judgments, in whatever languages they are."""
    return _of("relevance", data.relevance.queries, data.relevance.positives, data.relevance.pairs)


def judged_within(language: str, data: TrainingData) -> Relevance:
    """The judgments whose queries and documents are both in one language."""
    return judged(data).between(Pair(language, language))


def translated(bitext: Bitext, *, reverse: bool = False) -> Relevance:
    """Bitext as retrieval: a sentence of the query language is answered by its translation, or in reverse."""
    if not reverse:
        return _of("bitext", bitext.query_side, bitext.document_side, bitext.pairs)
    pairs = tuple(Pair(pair.document, pair.query) for pair in bitext.pairs)
    return _of("bitext", bitext.document_side, bitext.query_side, pairs)


def _of(origin: Origin, queries: tuple[str, ...], positives: tuple[str, ...], pairs: tuple[Pair, ...]) -> Relevance:
    return Relevance(queries, positives, (origin,) * len(queries), pairs)


class Examples:
    """Rows of queries and positives, `sources` of which are "relevance" or "bitext", ready to be encoded.

    `groups` (n,) int64 numbers the rows' parallel groups, which all of the task's data connect: members of one group
    are never contrasted.
    """

    def __init__(self, task: Task, student: Encoder, document_encoder: Encoder, rows: Relevance) -> None:
        data, recipe = task.data, task.recipe
        self.rows, self.batch_size, self.exponent = rows, recipe.batch_size, recipe.language_sampling
        self.student, self.document_encoder = student, document_encoder
        self.query_ids = student.tokenize(rows.queries, "query", recipe.max_length)
        self.positive_ids = document_encoder.tokenize(rows.positives, "document", recipe.max_length)
        texts = (zip(*part.columns[:2], strict=True) for part in (rows, data.bitext, data.relevance))
        self.groups = parallel_groups(chain.from_iterable(texts))[: len(rows)]

    def __len__(self) -> int:
        return len(self.rows)

    def batches(
        self,
        rng: np.random.Generator,
        rows: np.ndarray | None = None,
        exponent: float | None = None,
        batch_size: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Rows of one pair of languages and of similar length; of these `rows` only, if some are given.

        Pairs are drawn as the recipe says, or with a probability proportional to the number of rows to the `exponent`;
        a batch is as large as the recipe says, or of another size where it is but a part of what a step reads.
        """
        rows = np.arange(len(self)) if rows is None else rows
        lengths = [len(self.query_ids[row]) + len(self.positive_ids[row]) for row in rows]
        pairs = [self.rows.pairs[row] for row in rows]
        exponent = self.exponent if exponent is None else exponent
        for chosen in language_batches(lengths, pairs, batch_size or self.batch_size, rng, exponent):
            yield rows[chosen]

    def loss(self, rows: np.ndarray, temperature: float, *, symmetric: bool = False) -> Tensor:
        """InfoNCE of queries against the batch's positives; `symmetric`: halved, and half the reverse."""
        queries = embed(self.student, self.query_ids, rows)
        positives = embed(self.document_encoder, self.positive_ids, rows)
        related = self.related(rows, rows)
        loss = info_nce(queries, positives, temperature, related)
        return (loss + info_nce(positives, queries, temperature, related)) / 2 if symmetric else loss

    def related(self, rows: np.ndarray, others: np.ndarray) -> Tensor:
        """Which rows are of one parallel group, (rows, others) bool, on the student's device."""
        same = self.groups[rows][:, None] == self.groups[others][None, :]
        return torch.from_numpy(same).to(self.student.device)


def embed(encoder: Encoder, ids: Sequence[list[int]], rows: np.ndarray) -> Tensor:
    """Pooled embeddings of these rows of tokenised texts, (rows, dimension) float32, not normalised."""
    return encoder(encoder.collate([ids[row] for row in rows]))
