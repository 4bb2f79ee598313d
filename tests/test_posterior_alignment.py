"""Posterior alignment: the loss one sentence at a time, its samples, and the distances against POT and plain sums."""

from itertools import islice

import numpy as np
import ot
import pytest
import torch
from conftest import MakeTask, Prepare

from bench.encoders.encoder import Encoder
from bench.recipe import Spent
from methods.posterior_alignment import SCALES, PosteriorAlignment, gaussian_w2, imq_mmd, posterior


def tokens_of(encoder: Encoder, texts: list[str], side: str) -> list[np.ndarray]:
    """The tokens of each text, read alone and so without padding, in units of their root mean square length."""
    found = []
    for ids in encoder.tokenize(texts, side):  # type: ignore[arg-type]
        with torch.no_grad():
            tokens = encoder.token_embeddings(encoder.collate([ids]))[0].double().numpy()
        found.append(tokens / np.sqrt(np.mean(np.sum(tokens**2, axis=1))))
    return found


ROWS = {
    "relevance": np.array([5, 9]),
    "bitext": np.array([3, 24, 120]),
    "english": np.array([0, 24, 77, 149]),  # of different lengths, so that all but the longest are padded
    "target": np.array([8, 140]),
}


def contrast(queries: np.ndarray, documents: np.ndarray) -> float:
    """InfoNCE of normalised embeddings with the temperature 0.05, in NumPy."""
    scores = np.exp(queries.astype(float) @ documents.astype(float).T / 0.05)
    return float(np.mean(-np.log(np.diag(scores) / scores.sum(axis=1))))


@pytest.mark.parametrize("documents", ["teacher", "student"])
def test_loss_of_an_alignment_step(prepare: Prepare, documents: str) -> None:
    """Half way up the ramp each weight is half its own."""
    weights = {"individual_weight": 3.0, "aggregate_weight": 7.0, "prior_weight": 5.0, "temperature": 0.05}
    method = prepare(PosteriorAlignment, document_encoder=documents, ramp=0.5, **weights)
    loss, figures = method.loss(ROWS, 0.25)
    bitext, student = method.task.data.bitext, method.student
    english = {i: tokens_of(student, [bitext.document_side[i]], "query")[0] for i in range(150)}
    target = {i: tokens_of(student, [bitext.query_side[i]], "query")[0] for i in range(150)}
    squares = [
        ot.gaussian.bures_wasserstein_distance(
            one.mean(axis=0), other.mean(axis=0), np.diag(one.var(axis=0)), np.diag(other.var(axis=0))
        )
        ** 2
        for one, other in ((english[i], target[i]) for i in ROWS["bitext"])
    ]
    assert figures["individual_loss"] == pytest.approx(np.mean(squares), rel=1e-4)
    clouds = [
        torch.tensor(np.concatenate([side[i] for i in ROWS[name]]) * student.dimension**0.5)
        for side, name in ((english, "english"), (target, "target"))
    ]
    assert figures["aggregate_loss"] == pytest.approx(float(imq_mmd(*clouds)), rel=1e-4)
    chosen = bitext.take(ROWS["bitext"])
    teacher = method.task.teacher.encode(chosen.document_side, "document")
    members = [contrast(student.encode(texts, "query"), teacher) for texts in (chosen.document_side, chosen.query_side)]
    assert figures["pair_loss"] == pytest.approx(np.mean(members), rel=1e-4)
    judged = [
        encoder.encode([texts[i] for i in ROWS["relevance"]], side)
        for encoder, texts, side in zip(
            (student, method.document_encoder), method.task.data.relevance.columns, ("query", "document"), strict=False
        )
    ]
    assert figures["task_loss"] == pytest.approx(contrast(*judged), rel=1e-4)
    expected = figures["task_loss"] + figures["pair_loss"]
    expected += (3 * figures["individual_loss"] + 7 * figures["aggregate_loss"] + 5 * figures["prior_loss"]) / 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("ramp", "progress", "share"), [(0.5, 0, 0), (0.5, 0.1, 0.2), (0.5, 0.8, 1), (1, 0.8, 0.8)])
def test_weights_of_the_alignment_rise_in_a_line(prepare: Prepare, ramp: float, progress: float, share: float) -> None:
    method = prepare(PosteriorAlignment, ramp=ramp, individual_weight=2.0, aggregate_weight=0.0, prior_weight=0.0)
    loss, figures = method.loss(ROWS, progress)
    aligned = float(loss.detach()) - figures["task_loss"] - figures["pair_loss"]
    assert aligned == pytest.approx(2 * share * figures["individual_loss"], abs=1e-5)


def test_draws_of_the_prior_depend_on_seed_and_step_alone(prepare: Prepare, make_task: MakeTask) -> None:
    method = prepare(PosteriorAlignment)

    def prior_loss(seed: int, step: int) -> float:
        method.task = make_task(seed=seed)
        method.on_step_start(Spent(steps=step))
        return float(method.loss(ROWS, 0.0)[1]["prior_loss"])

    first = prior_loss(0, 3)
    assert len({first, prior_loss(0, 4), prior_loss(1, 3)}) == 3
    assert prior_loss(0, 3) == first


def test_one_step_in_many_aligns(prepare: Prepare) -> None:
    method = prepare(PosteriorAlignment, every=4)
    size = method.task.recipe.batch_size
    for step, batch in enumerate(islice(method.batches(np.random.default_rng(0)), 12)):
        expected = {"relevance": size} if step % 4 else dict.fromkeys(ROWS, size // 3)
        assert {name: len(rows) for name, rows in batch.items()} == expected
        figures = method.loss(batch, 1.0)[1]
        assert ("individual_loss" in figures) == (step % 4 == 0)


def test_prior_term_is_about_zero_for_draws_of_the_prior_and_large_for_collapsed_ones() -> None:
    """The biased estimate for n draws of each is the kernel's excess at zero over its mean, times 2 / n.

    All draws at one point x have k(0) + E k(z, z') - 2 E k(x, z), with |z|^2 of mean dim and |z - z'|^2 of 2 dim, both
    of them nearly constant in many dimensions.
    """
    n, dim = 400, 256
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, n, dim, generator=generator, dtype=torch.float64)

    def kernel(squared: float) -> float:
        return sum(2 * dim * scale / (2 * dim * scale + squared) for scale in SCALES)

    assert float(imq_mmd(x, y)) == pytest.approx(2 / n * (kernel(0) - kernel(2 * dim)), rel=0.1)
    for length in (0, dim, 4 * dim):  # the squared length of the one embedding of all
        collapsed = torch.zeros(n, dim, dtype=torch.float64)
        collapsed[:, 0] = length**0.5
        expected = kernel(0) + kernel(2 * dim) - 2 * kernel(length + dim)
        assert float(imq_mmd(collapsed, y)) == pytest.approx(expected, rel=0.05)
        assert expected > 50 * float(imq_mmd(x, y))


def test_posterior_has_the_scored_embedding_as_its_direction_and_the_second_moment_of_the_prior(
    prepare: Prepare,
) -> None:
    method, rows = prepare(PosteriorAlignment), ROWS["bitext"]
    mean, variance, tokens = (part.detach().numpy() for part in posterior(method.pairs.queries, rows))
    scored = method.student.encode([method.task.data.bitext.query_side[i] for i in rows], "query")
    assert mean / np.linalg.norm(mean, axis=1, keepdims=True) == pytest.approx(scored, abs=1e-6)
    assert (mean**2 + variance).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.mean(np.sum(tokens**2, axis=1)) == pytest.approx(1, abs=1e-5)


def test_sides_of_the_aggregate_term_are_drawn_apart(prepare: Prepare) -> None:
    """Translations meet in the aggregate term about as often as by chance: share * share / rows."""
    method = prepare(PosteriorAlignment, every=1)
    batches = list(islice(method.batches(np.random.default_rng(0)), 200))
    share = len(batches[0]["english"])
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
        squares = [float(((one - other) ** 2).sum()) for one in first for other in second]
        sizes = [2 * len(first[0]) * scale for scale in SCALES]
        return sum(size / (size + square) for size in sizes for square in squares) / len(squares)

    return mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)


@pytest.mark.parametrize(("n", "m"), [(7, 4), (1, 5), (1, 1)])
def test_mmd_sums_the_kernels_of_all_scales(n: int, m: int) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 3)), rng.normal(1, 2, size=(m, 3))
    assert len(SCALES) == 7
    assert float(imq_mmd(torch.tensor(x), torch.tensor(y))) == pytest.approx(naive_mmd(x, y), rel=1e-9)


def test_gradients_are_those_of_finite_differences_and_finite_where_there_is_no_distance() -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    variance = torch.zeros(5, 4, requires_grad=True)
    loss = imq_mmd(x, x.detach().clone()) + gaussian_w2(x, variance, x.detach().clone(), torch.zeros(5, 4)).sum()
    gradients = torch.autograd.grad(loss, [x, variance])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().max() < 1e-5
    generator = torch.Generator().manual_seed(0)
    x, y, u, v = (torch.rand(3, 4, generator=generator, dtype=torch.float64) + 0.1 for _ in range(4))
    arguments = [tensor.requires_grad_() for tensor in (x, u, y, v)]
    assert torch.autograd.gradcheck(gaussian_w2, arguments)
    assert torch.autograd.gradcheck(imq_mmd, [x, y])
