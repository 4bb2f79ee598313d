from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.training.losses import info_nce


def by_hand(queries: np.ndarray, documents: np.ndarray, temperature: float) -> float:
    """Mean over rows of -log of the softmax of cosine over temperature, at the row's own document."""
    losses = []
    for i, query in enumerate(queries):
        cosines = [query @ document / np.linalg.norm(query) / np.linalg.norm(document) for document in documents]
        weights = np.exp(np.array(cosines) / temperature)
        losses.append(-np.log(weights[i] / weights.sum()))
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_contrastive_loss_is_the_one_worked_out_by_hand(temperature: float) -> None:
    rng = np.random.default_rng(0)
    queries, documents = rng.standard_normal((2, 6, 4))
    found = info_nce(torch.from_numpy(queries), torch.from_numpy(documents), temperature)
    assert float(found) == pytest.approx(by_hand(queries, documents, temperature), rel=1e-5)


def test_contrastive_loss_is_computed_in_float32_under_autocast() -> None:
    rng = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(2, 8, 16, generator=rng)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = info_nce(queries, documents, 0.05)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, info_nce(queries, documents, 0.05))
