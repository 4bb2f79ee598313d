"""Tokenised training texts, and retrieval examples that are contrasted with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.api import (
    Bitext,
    Encoder,
    Pair,
    Relevance,
    Side,
    Task,
    TokenBatch,
    TrainingData,
    info_nce,
    language_batches,
    parallel_groups,
)


class TokenizedTexts:
    """Texts tokenised once for one encoder, with a side's prompt: `ids` and `lengths`, (n,) int64, of each."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], side: Side, max_length: int) -> None:
        self.encoder, self.ids = encoder, encoder.tokenize(texts, side, max_length)
        self.lengths = np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def batch(self, rows: np.ndarray) -> TokenBatch:
        return self.encoder.collate([self.ids[row] for row in rows])

    def embed(self, rows: np.ndarray) -> Tensor:
        """Return the pooled embeddings of some rows, (rows, dimension) float32, not normalised."""
        return self.encoder(self.batch(rows))

    def tokens(self, rows: np.ndarray) -> Tensor:
        """Return the embeddings of all tokens of some rows, (tokens, dimension) float32, without padding."""
        batch = self.batch(rows)
        return self.encoder.token_embeddings(batch).float()[batch.attention_mask.bool()]


def pair_batches(
    task: Task,
    lengths: np.ndarray,
    pairs: Sequence[Pair],
    rng: np.random.Generator,
    *,
    rows: np.ndarray | None = None,
    batch_size: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield rows of one language pair and of similar length, of these `rows` if given.

    A pair is drawn with a probability proportional to its number of rows to the power `recipe.language_sampling`. The
    batch size is the recipe's by default.
    """
    recipe, rows = task.recipe, np.arange(len(lengths)) if rows is None else rows
    own = [pairs[row] for row in rows.tolist()]
    for chosen in language_batches(lengths[rows], own, batch_size or recipe.batch_size, rng, recipe.language_sampling):
        yield rows[chosen]


def judged(data: TrainingData) -> Relevance:
    """Return the judgments in all languages, of the source "relevance"."""
    return replace(data.relevance, sources=("relevance",) * len(data.relevance))


def translated(bitext: Bitext) -> Relevance:
    """Return bitext as retrieval, of the source "bitext": a sentence is a query, and its translation the positive."""
    return Relevance(bitext.query_side, bitext.document_side, ("bitext",) * len(bitext), bitext.pairs)


def squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the squared distance of the L2-normalised rows of two (n, dimension) tensors, mean over rows."""
    return (normalize(first.float(), dim=1) - normalize(second.float(), dim=1)).square().sum(dim=1).mean()


class Examples:
    """Tokenised queries and positives.

    `groups` (n,) int64 numbers the parallel groups, which all of the task's data connect. Members of one group are
    never contrasted. Texts that were translated for the training have the group of their `originals`, row by row.
    """

    def __init__(
        self,
        task: Task,
        student: Encoder,
        document_encoder: Encoder,
        rows: Relevance,
        originals: Relevance | None = None,
    ) -> None:
        self.task, self.rows = task, rows
        self.queries = TokenizedTexts(student, rows.queries, "query", task.recipe.max_length)
        self.positives = TokenizedTexts(document_encoder, rows.positives, "document", task.recipe.max_length)
        texts = (
            zip(*part.columns[:2], strict=True) for part in (originals or rows, task.data.bitext, task.data.relevance)
        )
        self.groups = parallel_groups(chain.from_iterable(texts))[: len(rows)]

    def batches(self, rng: np.random.Generator, **settings: Any) -> Iterator[np.ndarray]:
        """Yield rows as `pair_batches` does, of similar length of query and positive together."""
        return pair_batches(self.task, self.queries.lengths + self.positives.lengths, self.rows.pairs, rng, **settings)

    def loss(self, rows: np.ndarray, temperature: float, *, symmetric: bool = False) -> Tensor:
        """Return InfoNCE of queries against the batch's positives; `symmetric` averages both directions."""
        queries, positives, related = self.queries.embed(rows), self.positives.embed(rows), self.related(rows, rows)
        loss = info_nce(queries, positives, temperature, related)
        return (loss + info_nce(positives, queries, temperature, related)) / 2 if symmetric else loss

    def related(self, rows: np.ndarray, others: np.ndarray) -> Tensor:
        """Return which rows are of one parallel group, (rows, others) bool, on the student's device."""
        same = self.groups[rows][:, None] == self.groups[others][None, :]
        return torch.from_numpy(same).to(self.queries.encoder.device)
