"""Transport plans between the tokens of two sentences, a padded batch of problems at a time.

Each solver takes a cost (batch, n, m) and marginals a (batch, n) and b (batch, m), all float32, and returns a `Plan`.
Padding has no mass. `exact` and `quadratic` are POT's, one problem after the other. The others are this project's own:
POT 0.9.7 has none that is batched (`unbalanced`, `partial`), one that does not solve the problem (its proximal one,
issue 842; `sinkhorn_l1l2_gl`, issue 758), or one that takes as long as the rest of a training step (Sinkhorn's
iteration, with hundreds of sweeps for the hardest problem of a batch: `entropic`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import ot
import torch
from torch import Tensor
from torch.nn import functional

FORBIDDEN = -1e30
"""Log-kernel between tokens of which one has no mass. It is finite, because minus infinity would give NaN."""
SMALL = 1e-30
"""Least mass that a logarithm or a root is taken of."""
SWEEPS = 5
"""Sinkhorn's iterations before Newton's. Far from the solution they are as good and cost less."""
DAMPING = 1e-5
"""Added to the eigenvalues of Newton's matrix, which are between 0 and 1. One of them is always 0."""


class Plan(NamedTuple):
    """Transport plans of a batch: `plan` is (batch, n, m) float32, without a gradient.

    `residual` (batch,) is the distance from a solution, as mass: the largest deviation from a marginal or, for solvers
    that relax the marginals, the largest change of an entry in the last iteration.
    """

    plan: Tensor
    residual: Tensor
    iterations: int

    def unconverged(self, tolerance: float) -> float:
        """Return the share of problems whose residual is above `tolerance`."""
        return float((~(self.residual <= tolerance)).float().mean())


class Stop(NamedTuple):
    """An iteration ends when the residual is at most `tolerance`, or after `max_iterations`."""

    tolerance: float
    max_iterations: int


def entropic(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, stop: Stop) -> Plan:
    """Return argmin <P, C> - epsilon * H(P) with marginals a and b (Cuturi 2013)."""
    return project(-cost / epsilon, a, b, stop)


def project(kernel: Tensor, a: Tensor, b: Tensor, stop: Stop) -> Plan:
    """Return argmin KL(P | exp(kernel)) with marginals a and b: of the form exp(kernel_ij + u_i + v_j).

    Maximises the dual over u; v makes the columns exact. A few of Sinkhorn's iterations are followed by Newton's
    (Brauer, Clason, Lorenz & Wirth 2017). Solved problems take no part in further iterations.
    """
    if a.shape[1] > b.shape[1]:  # Newton's matrix is as wide as u
        result = project(kernel.transpose(1, 2), b, a, stop)
        return result._replace(plan=result.plan.transpose(1, 2))
    kernel = without_padding(kernel, a, b)
    plan, residual = torch.zeros_like(kernel), torch.full_like(a[:, 0], torch.inf)
    u, open = torch.zeros_like(a), torch.arange(len(a), device=a.device)
    iteration = min(SWEEPS, stop.max_iterations - 1)
    for _ in range(iteration):
        u = u + sinkhorn_step(exact_columns(kernel, u, b).sum(dim=2), a)
    while len(open) and iteration < stop.max_iterations:
        iteration += 1
        current = exact_columns(kernel, u, b)
        deviation = (a - current.sum(dim=2)).abs().amax(dim=1)
        plan[open], residual[open] = current, deviation
        unsolved = ~(deviation <= stop.tolerance)
        if not unsolved.all():
            open, kernel, a, b, u, current = (each[unsolved] for each in (open, kernel, a, b, u, current))
        u = u + newton_step(current, a, b)
    return Plan(plan, residual, iteration)


def without_padding(kernel: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the log-kernel, `FORBIDDEN` where either token has no mass."""
    return kernel.masked_fill((a == 0).unsqueeze(2) | (b == 0).unsqueeze(1), FORBIDDEN)


def log(mass: Tensor) -> Tensor:
    return mass.clamp(min=SMALL).log()


def exact_columns(kernel: Tensor, u: Tensor, b: Tensor) -> Tensor:
    """Return exp(kernel_ij + u_i + v_j) with the v for which the columns' masses are b."""
    return torch.softmax(kernel + u.unsqueeze(2), dim=1) * b.unsqueeze(1)


def sinkhorn_step(rows: Tensor, a: Tensor) -> Tensor:
    """Return the change of u that gives the rows mass a, for fixed v."""
    return (a.clamp(min=SMALL) / rows.clamp(min=SMALL)).log()


def newton_step(plan: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the change of u by Newton's method on the concave dual, whose gradient is the missing mass of the rows.

    Minus its Hessian is diag(rows) - P diag(1/b) P^T, here scaled to a unit diagonal. The third derivative of the
    dual in a direction is at most the second times the direction's range r, for which a step of length log(1 + r) / r
    always climbs (Sun & Tran-Dinh 2019, generalised self-concordance), so no line search is needed. If rounding leaves
    the matrix indefinite, between masses of very different size, the step is Sinkhorn's.
    """
    rows = plan.sum(dim=2)
    root = rows.clamp(min=1e-12).sqrt()
    half = plan / root.unsqueeze(2) / b.clamp(min=SMALL).sqrt().unsqueeze(1)
    matrix = -(half @ half.transpose(1, 2))
    matrix.diagonal(dim1=1, dim2=2).add_(1 + DAMPING)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    direction = torch.cholesky_solve(((a - rows) / root).unsqueeze(2), factor).squeeze(2) / root
    reach = direction.amax(dim=1, keepdim=True) - direction.amin(dim=1, keepdim=True)
    step = direction * torch.log1p(reach) / reach.clamp(min=SMALL)
    return torch.where(failed.unsqueeze(1) > 0, sinkhorn_step(rows, a), step) if failed.any() else step


def proximal(cost: Tensor, a: Tensor, b: Tensor, proximal_step: float, stop: Stop) -> Plan:
    """Approach argmin <P, C> by P <- argmin <P', C> + proximal_step * KL(P' | P), one Sinkhorn iteration for each.

    IPOT (Xie, Wang, Wang & Zha 2020, algorithm 1 with L = 1). It stops when no entry of the plan moves any more, and
    projects the plan on the marginals.
    """
    kernel = without_padding(-cost / proximal_step, a, b)
    log_plan, plan, v = torch.zeros_like(kernel), torch.zeros_like(kernel), torch.zeros_like(b)
    residual, iteration = torch.full_like(a[:, 0], torch.inf), 0
    while iteration < stop.max_iterations and float(residual.max()) > stop.tolerance:
        iteration += 1
        log_plan = (log_plan + kernel).clamp(min=FORBIDDEN)
        u = log(a) - torch.logsumexp(log_plan + v.unsqueeze(1), dim=2)
        v = log(b) - torch.logsumexp(log_plan + u.unsqueeze(2), dim=1)
        log_plan = log_plan + u.unsqueeze(2) + v.unsqueeze(1)
        before, plan = plan, log_plan.exp()
        residual = (plan - before).abs().amax(dim=(1, 2))
    met = project(log_plan, a, b, stop)
    return Plan(met.plan, torch.maximum(residual, met.residual), iteration)


def unbalanced(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, relaxation: float, stop: Stop) -> Plan:
    """Return argmin <P, C> + epsilon * KL(P | a b^T) + relaxation * (KL(P 1 | a) + KL(P^T 1 | b)).

    Scaling iterations of Chizat, Peyré, Schmitzer & Vialard 2018 in the log domain. The plan's mass is at most 1.
    """
    kernel, share = without_padding(-cost / epsilon, a, b), relaxation / (relaxation + epsilon)
    u, v, plan = torch.zeros_like(a), torch.zeros_like(b), torch.zeros_like(kernel)
    residual, iteration = torch.full_like(a[:, 0], torch.inf), 0
    while iteration < stop.max_iterations and float(residual.max()) > stop.tolerance:
        iteration += 1
        u = -share * torch.logsumexp(kernel + (log(b) + v).unsqueeze(1), dim=2)
        v = -share * torch.logsumexp(kernel + (log(a) + u).unsqueeze(2), dim=1)
        before, plan = plan, (kernel + (log(a) + u).unsqueeze(2) + (log(b) + v).unsqueeze(1)).exp()
        residual = (plan - before).abs().amax(dim=(1, 2))
    return Plan(plan, residual, iteration)


def partial(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, mass: float, stop: Stop) -> Plan:
    """Return argmin <P, C> - epsilon * H with rows of at most a, columns of at most b and `mass` in all.

    An extra token on either side, to and from which transport is free, takes the mass that stays (Chapel, Alaya &
    Gasso 2020, proposition 1). H is the entropy with theirs.
    """
    kernel = functional.pad(-cost / epsilon, (0, 1, 0, 1))
    kernel[:, -1, -1] = FORBIDDEN
    a, b = (functional.pad(side, (0, 1), value=1 - mass) for side in (a, b))
    extended = project(kernel, a, b, stop)
    return extended._replace(plan=extended.plan[:, :-1, :-1])


def group_lasso(
    cost: Tensor, a: Tensor, b: Tensor, words: Tensor, epsilon: float, group_strength: float, stop: Stop
) -> Plan:
    """Return argmin <P, C> - epsilon * H(P) + group_strength * sum over i and w of |P_i,w|_2 with marginals a and b.

    `words` (batch, m) int64 is the word of each column's token. A row is drawn to the pieces of few words (Courty,
    Flamary, Tuia & Rakotomamonjy 2017). The norms are smooth relative to the entropy, with constant 1. Hence
    P <- argmin of the objective with the norms linearised at P, plus group_strength * KL(. | P), always descends
    (Bauschke, Bolte & Teboulle 2017). Each such step is a projection.
    """
    member = functional.one_hot(words).to(cost.dtype)
    current, iteration = entropic(cost, a, b, epsilon, stop), 1
    moved = torch.full_like(a[:, 0], torch.inf)
    while iteration < stop.max_iterations and float(moved.max()) > stop.tolerance:
        iteration += 1
        norms = (current.plan.square() @ member).sqrt() @ member.transpose(1, 2)
        slope = current.plan / norms.clamp(min=SMALL)
        kernel = (group_strength * (log(current.plan) - slope) - cost) / (epsilon + group_strength)
        before, current = current, project(kernel, a, b, stop)
        moved = (current.plan - before.plan).abs().amax(dim=(1, 2))
    return Plan(current.plan, torch.maximum(moved, current.residual), iteration)


def exact(cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Return argmin <P, C> with marginals a and b, by POT's network simplex."""
    return _one_by_one(ot.emd, cost, a, b)


def quadratic(cost: Tensor, a: Tensor, b: Tensor, strength: float) -> Plan:
    """Return argmin <P, C> + strength / 2 * |P|^2: a sparse plan (Blondel, Seguy & Rolet 2018), by POT."""
    return _one_by_one(lambda *problem: ot.smooth.smooth_ot_dual(*problem, strength), cost, a, b)


def _one_by_one(solve: Callable[..., np.ndarray], cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Run a solver of POT on each problem without its padding, in float64."""
    arrays = [each.double().cpu().numpy() for each in (cost, a, b)]
    plans = np.zeros_like(arrays[0])
    for plan, matrix, mass, other in zip(plans, *arrays, strict=True):
        block = np.ix_(mass > 0, other > 0)
        masses = (side[side > 0] / side.sum() for side in (mass, other))
        plan[block] = solve(*masses, matrix[block])
    plan = torch.from_numpy(plans).to(cost)
    deviations = (plan.sum(dim=2) - a).abs().amax(dim=1), (plan.sum(dim=1) - b).abs().amax(dim=1)
    return Plan(plan, torch.maximum(*deviations), 1)


def greedy(cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Return all mass of a column's token on its nearest row's token. Only the columns' marginal holds."""
    nearest = cost.masked_fill((a == 0).unsqueeze(2), torch.inf).argmin(dim=1, keepdim=True)
    plan = torch.zeros_like(cost).scatter_(1, nearest, b.unsqueeze(1))
    return Plan(plan, torch.zeros_like(a[:, 0]), 1)
