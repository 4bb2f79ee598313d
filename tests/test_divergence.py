"""Distances between distributions, against POT's and against sums written out one pair at a time."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

from methods.divergence import SCALES, gaussian_w2, imq_mmd


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


def test_mmd_is_zero_between_equal_samples_and_grows_with_their_distance() -> None:
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [float(imq_mmd(x, x.flip(0) + shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values == sorted(values)


def test_gradients_are_finite_where_there_is_no_distance() -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    variance = torch.zeros(5, 4, requires_grad=True)
    same = x.detach().clone()
    loss = imq_mmd(x, same) + gaussian_w2(x, variance, same, torch.zeros(5, 4)).sum()
    gradients = torch.autograd.grad(loss, [x, variance])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().max() < 1e-5


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, u, v = (torch.rand(3, 4, generator=generator, dtype=torch.float64) + 0.1 for _ in range(4))
    arguments = [tensor.requires_grad_() for tensor in (x, u, y, v)]
    assert torch.autograd.gradcheck(gaussian_w2, arguments)
    assert torch.autograd.gradcheck(imq_mmd, [x, y])
