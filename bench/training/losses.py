"""The contrastive loss, which methods and the selection of checkpoints share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    queries: Tensor,
    documents: Tensor,
    temperature: float,
    related: Tensor | None = None,
    positives: Tensor | None = None,
    margin: float = 0.0,
) -> Tensor:
    """Return the contrastive loss with in-batch negatives (van den Oord et al. 2018).

    The positive of row i of `queries` (n, dimension) is row `positives[i]` of `documents` (m, dimension), row i by
    default. Neither needs to be normalised. All other rows are its negatives, except where `related` (n, m) bool is
    True. Similarity is the cosine over `temperature`; `margin` is subtracted from the positive's cosine (Yang et al.
    2019, arXiv 1902.08564).
    """
    queries, documents = functional.normalize(queries.float(), dim=-1), functional.normalize(documents.float(), dim=-1)
    positives = torch.arange(len(queries), device=queries.device) if positives is None else positives
    own = torch.zeros(len(queries), len(documents), dtype=torch.bool, device=queries.device)
    own[torch.arange(len(queries)), positives] = True
    # A cosine in bfloat16 has two decimals, too few to be divided by a temperature.
    with torch.autocast(queries.device.type, enabled=False):
        scores = (queries @ documents.T - margin * own if margin else queries @ documents.T) / temperature
    if related is not None:
        scores = scores.masked_fill(related & ~own, -torch.inf)
    return functional.cross_entropy(scores, positives)
