"""Posterior alignment: the loss one sentence at a time, its samples, and the distances against POT and plain sums."""

from __future__ import annotations

from itertools import islice

import numpy as np
import ot
import pytest
import torch
from conftest import Prepare

from bench.encoders.encoder import Encoder
from methods.posterior_alignment import (
    SCALES,
    PosteriorAlignment,
    gaussian_w2,
    imq_mmd,
    posterior,
)


def tokens_of(encoder: Encoder, texts: list[str], side: str) -> list[np.ndarray]:
    """The token embeddings of each text, read alone and so without padding, in units of their mean's length."""
    found = []
    for ids in encoder.tokenize(texts, side):  # type: ignore[arg-type]
        with torch.no_grad():
            tokens = encoder.token_embeddings(encoder.collate([ids]))[0].double().numpy()
        found.append(tokens / np.linalg.norm(tokens.mean(axis=0)))
    return found


ROWS = {
    "relevance": np.array([5, 9]),
    "pairs": np.array([3, 24, 120]),
    "english": np.array([0, 24, 77, 149]),  # of different lengths, so that all but the longest are padded
    "target": np.array([8, 140]),
}


@pytest.mark.parametrize("documents", ["teacher", "student"])
def test_loss_compares_gaussians_of_translations_and_clouds_of_tokens(prepare: Prepare, documents: str) -> None:
    method = prepare(PosteriorAlignment, document_encoder=documents, individual_weight=3.0, aggregate_weight=7.0)
    loss, figures = method.loss(ROWS, 0.0)
    bitext, encoder = method.task.data.bitext, method.document_encoder
    english = {i: tokens_of(encoder, [bitext.document_side[i]], "document")[0] for i in range(150)}
    target = {i: tokens_of(method.student, [bitext.query_side[i]], "query")[0] for i in range(150)}
    squares = [
        ot.gaussian.bures_wasserstein_distance(
            one.mean(axis=0), other.mean(axis=0), np.diag(one.var(axis=0)), np.diag(other.var(axis=0))
        )
        ** 2
        for one, other in ((english[i], target[i]) for i in ROWS["pairs"])
    ]
    assert figures["individual_loss"] == pytest.approx(np.mean(squares), rel=1e-4)
    clouds = [
        torch.tensor(np.concatenate([side[i] for i in ROWS[name]]) * method.student.dimension**0.5)
        for side, name in ((english, "english"), (target, "target"))
    ]
    assert figures["aggregate_loss"] == pytest.approx(float(imq_mmd(*clouds)), rel=1e-4)
    expected = figures["task_loss"] + 3 * figures["individual_loss"] + 7 * figures["aggregate_loss"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_mean_of_the_posterior_is_the_embedding_that_is_scored(prepare: Prepare) -> None:
    method = prepare(PosteriorAlignment)
    rows = ROWS["pairs"]
    mean, _, _ = posterior(method.target, rows)
    scored = method.student.encode([method.task.data.bitext.query_side[i] for i in rows], "query")
    assert mean.detach().numpy() == pytest.approx(scored, abs=1e-6)


def test_sides_of_the_aggregate_term_are_drawn_apart(prepare: Prepare) -> None:
    """Translations meet in the aggregate term about as often as by chance: share * share / rows."""
    method = prepare(PosteriorAlignment)
    batches = list(islice(method.batches(np.random.default_rng(0)), 200))
    share = method.task.recipe.batch_size // 3
    assert all({name: len(rows) for name, rows in batch.items()} == dict.fromkeys(ROWS, share) for batch in batches)
    met = np.mean([len(np.intersect1d(batch["english"], batch["target"])) for batch in batches])
    assert met < 3 * share * share / len(method.task.data.bitext)


def test_distance_between_gaussians_is_pots() -> None:
    rng = np.random.default_rng(0)
    means, variances = rng.normal(size=(2, 6, 5)), rng.uniform(0.01, 4, size=(2, 6, 5))
    arguments = [means[0], variances[0], means[1], variances[1]]
    distances = gaussian_w2(*map(torch.tensor, arguments))
    for i, distance in enumerate(distances):
        expected = ot.gaussian.bures_wasserstein_distance(
            means[0, i], means[1, i], np.diag(variances[0, i]), np.diag(variances[1, i])
        )
        assert float(distance) == pytest.approx(expected**2, rel=1e-9)


def naive_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """One kernel value after the other, in Python's own numbers."""

    def mean_kernel(first: np.ndarray, second: np.ndarray) -> float:
        total = 0.0
        for scale in SCALES:
            size = 2 * len(first[0]) * scale
            for one in first:
                for other in second:
                    total += size / (size + float(((one - other) ** 2).sum()))
        return total / len(first) / len(second)

    return mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)


@pytest.mark.parametrize(("n", "m"), [(7, 4), (1, 5), (1, 1)])
def test_mmd_sums_the_kernels_of_all_scales(n: int, m: int) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 3)), rng.normal(1, 2, size=(m, 3))
    assert len(SCALES) == 7
    assert float(imq_mmd(torch.tensor(x), torch.tensor(y))) == pytest.approx(naive_mmd(x, y), rel=1e-9)


def test_gradients_are_finite_where_there_is_no_distance() -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    variance = torch.zeros(5, 4, requires_grad=True)
    loss = imq_mmd(x, x.detach().clone()) + gaussian_w2(x, variance, x.detach().clone(), torch.zeros(5, 4)).sum()
    gradients = torch.autograd.grad(loss, [x, variance])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().max() < 1e-5


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, u, v = (torch.rand(3, 4, generator=generator, dtype=torch.float64) + 0.1 for _ in range(4))
    arguments = [tensor.requires_grad_() for tensor in (x, u, y, v)]
    assert torch.autograd.gradcheck(gaussian_w2, arguments)
    assert torch.autograd.gradcheck(imq_mmd, [x, y])
