"""What is transported between the tokens of two sentences, and at what cost, a padded batch of pairs at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bench.api import Encoder, TokenBatch


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine between tokens: x (batch, n, dim), y (batch, m, dim) -> (batch, n, m) float32."""
    x, y = functional.normalize(x.float(), dim=-1), functional.normalize(y.float(), dim=-1)
    with torch.autocast(x.device.type, enabled=False):
        return 1 - x @ y.transpose(1, 2)


def squared_euclidean_cost(x: Tensor, y: Tensor, mass: Tensor) -> Tensor:
    """|x_i - y_j|^2 over the mean of |x_i|^2 by `mass` (batch, n), a constant: (batch, n, m) float32.

    The unit makes an entropy weigh as much as with cosines: two orthogonal tokens of that norm cost 2.
    """
    x, y = x.float(), y.float()
    squares = x.square().sum(dim=-1)
    unit = (mass * squares).sum(dim=1).detach()
    with torch.autocast(x.device.type, enabled=False):
        product = x @ y.transpose(1, 2)
    distance = squares.unsqueeze(2) + y.square().sum(dim=-1).unsqueeze(1) - 2 * product
    return distance / unit.clamp(min=1e-12)[:, None, None]


def marginal(weights: Tensor, batch: TokenBatch, *, special_tokens: bool) -> Tensor:
    """Mass in proportion to `weights` (batch, length), summing to 1 per sentence: (batch, length) float32.

    Padding has none. Special tokens have mass only if `special_tokens`, or if a sentence has nothing else.
    """
    real = batch.attention_mask.bool()
    counted = real if special_tokens else real & ~batch.special
    counted = torch.where(counted.any(dim=1, keepdim=True), counted, real)
    mass = weights.float() * counted
    return mass / mass.sum(dim=1, keepdim=True)


def inverse_document_frequency(sentences: Sequence[Sequence[int]], vocabulary: int) -> Tensor:
    """log(1 + (N - n + 1/2) / (n + 1/2)) of each word piece, which n of N sentences have: (vocabulary,) float32.

    Positive for every piece (BM25's variant in Lucene).
    """
    counts = torch.bincount(torch.tensor([i for ids in sentences for i in set(ids)]), minlength=vocabulary)
    return torch.log1p((len(sentences) - counts + 0.5) / (counts + 0.5))


def word_starts(encoder: Encoder) -> Tensor:
    """Whether a piece is the first of its word: (vocabulary,) bool, for WordPiece, SentencePiece and byte-level BPE."""
    prefix = getattr(encoder.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
    pieces = encoder.tokenizer.convert_ids_to_tokens(range(len(encoder.tokenizer)))
    return torch.tensor([not piece.startswith(prefix) if prefix else piece.startswith(("▁", "Ġ")) for piece in pieces])


def words(batch: TokenBatch, starts: Tensor) -> Tensor:
    """The number of each token's word in its sentence, special tokens being words: (batch, length) int64 from 0."""
    return ((starts.to(batch.special.device)[batch.input_ids] | batch.special).long().cumsum(dim=1) - 1).clamp(min=0)


def transport_loss(plan: Tensor, cost: Tensor) -> Tensor:
    """The Frobenius inner product <P, C> of each problem, (batch,); a gradient flows through the cost only."""
    return (plan.detach() * cost).sum(dim=(1, 2))
