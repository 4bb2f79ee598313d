"""The contrastive loss, which methods and the selection of checkpoints share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(queries: Tensor, documents: Tensor, temperature: float, related: Tensor | None = None) -> Tensor:
    """Return the contrastive loss with in-batch negatives (van den Oord et al. 2018).

    Row i of `documents` (m, dimension) is the positive of row i of `queries` (n <= m, dimension). Neither needs to be
    normalised. All other rows are its negatives, except where `related` (n, m) bool is True. Similarity is the cosine
    over `temperature`.
    """
    queries, documents = functional.normalize(queries.float(), dim=-1), functional.normalize(documents.float(), dim=-1)
    # A cosine in bfloat16 has two decimals, too few to be divided by a temperature.
    with torch.autocast(queries.device.type, enabled=False):
        scores = queries @ documents.T / temperature
    if related is not None:
        own = torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(related & ~own, -torch.inf)
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
