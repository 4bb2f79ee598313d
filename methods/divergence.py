"""Distances between distributions in closed form or from samples: what posterior alignment minimises."""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def gaussian_w2(mean_x: Tensor, variance_x: Tensor, mean_y: Tensor, variance_y: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance between Gaussians of diagonal covariance, (n,), all arguments (n, dim).

    |mean_x - mean_y|^2 + sum (sd_x - sd_y)^2, which is the usual trace formula with the root drawn
    (Dowson & Landau 1982). A variance of zero has a gradient of zero.
    """
    deviations = [variance.clamp(min=1e-12).sqrt() for variance in (variance_x, variance_y)]
    return (mean_x - mean_y).square().sum(dim=1) + (deviations[0] - deviations[1]).square().sum(dim=1)


def imq_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between samples x (n, dim) and y (m, dim), a scalar (Gretton et al. 2012).

    The kernel is the sum over all `SCALES` s of the inverse multiquadric C / (C + |x - y|^2), C = 2 dim s, which
    expects samples of about unit variance per dimension (Tolstikhin et al. 2018, section 4). The biased estimate: each
    sample is compared with itself, too, so that it is never negative, and zero for equal samples.
    """
    return _mean_kernel(x, x) + _mean_kernel(y, y) - 2 * _mean_kernel(x, y)


def _mean_kernel(x: Tensor, y: Tensor) -> Tensor:
    norms = x.square().sum(dim=1, keepdim=True) + y.square().sum(dim=1)
    distances = (norms - 2 * x @ y.T).clamp(min=0)
    sizes = [2 * x.shape[1] * scale for scale in SCALES]
    return torch.stack([(size / (size + distances)).mean() for size in sizes]).sum()
