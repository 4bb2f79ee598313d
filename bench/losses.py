"""Losses that more than one room needs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(queries: Tensor, documents: Tensor, temperature: float) -> Tensor:
    """Contrastive loss with in-batch negatives (van den Oord et al. 2018).

    Row i of `documents` answers row i of `queries`. Both are (n, dimension), not necessarily normalised; similarity is
    the cosine over `temperature`.
    """
    scores = functional.normalize(queries, dim=-1) @ functional.normalize(documents, dim=-1).T / temperature
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
