"""Transport plans between the tokens of two sentences, a padded batch of problems at a time.

Each solver takes a cost (batch, n, m) and marginals a (batch, n) and b (batch, m), all float32, and returns a `Plan`.
Padding has no mass. `exact` and `quadratic` are solvers of POT, one problem after the other. The others are this
project's own. POT 0.9.7 has no batched `unbalanced` and `partial`. Its proximal solver (issue 842) and
`sinkhorn_l1l2_gl` (issue 758) do not solve the problem. Its Sinkhorn iteration (`entropic`) takes as
long as the rest of a training step, with hundreds of sweeps for the hardest problem of a batch.

A problem's plan is the same, up to rounding, alone and in any batch, with any padding.
"""

from __future__ import annotations

import math
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
"""Added to the eigenvalues of Newton's matrix, which are between 0 and 1. One of them is 0 at an infinite price."""
RESOLUTION = 1e-6
"""Least tolerance that sums in float32 can meet."""


class Plan(NamedTuple):
    """Transport plans of a batch: `plan` is (batch, n, m) float32, without a gradient.

    `residual` (batch,) is the sum of the absolute deviations from the marginals, which a Sinkhorn iteration would move.
    It is a share of the mass of the plan, so that short and long sentences are comparable. For `proximal` and
    `group_lasso`, which go from plan to plan, it is at least the sum of the absolute changes in the last iteration.
    """

    plan: Tensor
    residual: Tensor
    iterations: int

    def unconverged(self, tolerance: float) -> float:
        """Return the share of problems whose residual is above `tolerance`."""
        return float((~(self.residual <= tolerance)).float().mean())


class Stop(NamedTuple):
    """A problem's iterations end when its residual is at most `tolerance`, or after `max_iterations`.

    Costs of hundreds of epsilon leave a residual of about 1e-5 in float32.
    """

    tolerance: float
    max_iterations: int


State = tuple[Tensor, ...]
"""Tensors of a batch of problems between two iterations. The last two are the plan and its residual."""


def iterate(step: Callable[..., State], state: State, stop: Stop, iteration: int = 0) -> Plan:
    """Return the plans after repeated `state = step(*state)`. `iteration` is the number of iterations before.

    Solved problems take no part in further iterations, so that a plan depends on no other problem of the batch.
    """
    plan, residual = (each.clone() for each in state[-2:])
    open = torch.arange(len(plan), device=plan.device)
    while iteration < stop.max_iterations:
        unsolved = ~(state[-1] <= stop.tolerance)
        if not unsolved.all():
            open, state = open[unsolved], tuple(each[unsolved] for each in state)
        if not len(open):
            break
        iteration += 1
        state = step(*state)
        plan[open], residual[open] = state[-2:]
    return Plan(plan, residual, iteration)


def relative(deviations: Tensor, masses: Tensor) -> Tensor:
    """Return the sum of absolute deviations (batch, ...) over the sum of masses (batch, ...): (batch,)."""
    return deviations.abs().flatten(1).sum(dim=1) / masses.flatten(1).sum(dim=1).clamp(min=SMALL)


def entropic(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, stop: Stop) -> Plan:
    """Return argmin <P, C> - epsilon * H(P) with marginals a and b (Cuturi 2013)."""
    return project(-cost / epsilon, a, b, stop)


def prior(cost: Tensor, a: Tensor, b: Tensor, weights: Tensor, floor: float, epsilon: float, stop: Stop) -> Plan:
    """Return argmin <P, C> + epsilon * KL(P | Q) with marginals a and b, where Q is the larger of `weights`
    (batch, n, m) and `floor`. A factor of Q has no effect.
    """
    return project(weights.clamp(min=floor).log() - cost / epsilon, a, b, stop)


def unbalanced(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, relaxation: float, stop: Stop) -> Plan:
    """Return argmin <P, C> + epsilon * KL(P | a b^T) + relaxation * (KL(P 1 | a) + KL(P^T 1 | b)).

    The plan's mass is at most 1 (Chizat, Peyré, Schmitzer & Vialard 2018).
    """
    kernel = log(a).unsqueeze(2) + log(b).unsqueeze(1) - cost / epsilon
    return project(kernel, a, b, stop, relaxation / epsilon)


def project(kernel: Tensor, a: Tensor, b: Tensor, stop: Stop, price: float = math.inf) -> Plan:
    """Return argmin KL(P | exp(kernel)) + price * (KL(P 1 | a) + KL(P^T 1 | b)); marginals a and b by default.

    P_ij = exp(kernel_ij + u_i + v_j), with a mass of a_i exp(-u_i / price) due in row i, and likewise in columns. The
    transposed problem is solved: u maximises its dual, and v makes its columns exact. A few of Sinkhorn's iterations
    are followed by Newton's (Brauer, Clason, Lorenz & Wirth 2017). At a finite price each includes the best constant
    shift of u, for which the sum of the rows is exact (Séjourné, Vialard & Peyré 2022).
    """
    elasticity = 1 / (1 + 1 / price)

    def at(kernel: Tensor, a: Tensor, b: Tensor, u: Tensor) -> State:
        plan, due = exact_columns(kernel, u, b, elasticity), a
        rows = plan.sum(dim=2)
        if elasticity < 1:
            due = a * torch.exp(-u / price)
            missing = (log(due.sum(dim=1)) - log(rows.sum(dim=1))).unsqueeze(1)
            shift = missing / (1 / elasticity - elasticity)
            u, due, growth = u + shift, due * torch.exp(-shift / price), torch.exp((1 - elasticity) * shift)
            plan, rows = plan * growth.unsqueeze(2), rows * growth
        return kernel, a, b, u, due, rows, plan, relative(due - rows, rows)

    def sinkhorn(kernel: Tensor, a: Tensor, b: Tensor, u: Tensor, due: Tensor, rows: Tensor, *_: Tensor) -> State:
        return at(kernel, a, b, u + sinkhorn_step(due, rows, elasticity))

    def newton(
        kernel: Tensor, a: Tensor, b: Tensor, u: Tensor, due: Tensor, rows: Tensor, plan: Tensor, _: Tensor
    ) -> State:
        return at(kernel, a, b, u + newton_step(plan, due, rows, elasticity))

    # u belongs to the student's side of every problem. A choice by length would depend on the rest of the batch.
    kernel, a, b = kernel.transpose(1, 2).contiguous(), b, a
    state, sweeps = at(without_padding(kernel, a, b), a, b, torch.zeros_like(a)), min(SWEEPS, stop.max_iterations)
    for _ in range(sweeps):
        state = sinkhorn(*state)
    result = iterate(newton, state, stop, sweeps)
    return result._replace(plan=result.plan.transpose(1, 2))


def without_padding(kernel: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the log-kernel, `FORBIDDEN` where either token has no mass."""
    return kernel.masked_fill((a == 0).unsqueeze(2) | (b == 0).unsqueeze(1), FORBIDDEN)


def log(mass: Tensor) -> Tensor:
    return mass.clamp(min=SMALL).log()


def exact_columns(kernel: Tensor, u: Tensor, b: Tensor, elasticity: float) -> Tensor:
    """Return exp(kernel_ij + u_i + v_j) with the v for which the columns are exact."""
    scaled = kernel + u.unsqueeze(2)
    if elasticity < 1:
        b = torch.exp(elasticity * log(b) + (1 - elasticity) * torch.logsumexp(scaled, dim=1))
    return torch.softmax(scaled, dim=1) * b.unsqueeze(1)


def sinkhorn_step(due: Tensor, rows: Tensor, elasticity: float) -> Tensor:
    """Return the change of u that makes the rows exact, for fixed v."""
    return elasticity * (log(due) - log(rows))


def newton_step(plan: Tensor, due: Tensor, rows: Tensor, elasticity: float) -> Tensor:
    """Return the change of u by Newton's method on the concave dual, whose gradient is the missing mass of the rows.

    Minus its Hessian is diag(rows + due / price) - elasticity * P diag(1/columns) P^T, here scaled to a unit diagonal.
    Let r be the range of a direction and 0, times 1 + 3 / price. The third derivative of the dual in the direction is
    at most r times the second. For such functions a step of length log(1 + r) / r always climbs (Sun & Tran-Dinh 2019,
    generalised self-concordance), so no line search is needed. If rounding leaves the matrix indefinite, between masses
    of very different size, the step is Sinkhorn's.
    """
    inverse_price = 1 / elasticity - 1
    root = (rows + inverse_price * due).clamp(min=1e-12).sqrt()
    half = plan / root.unsqueeze(2) / plan.sum(dim=1, keepdim=True).clamp(min=SMALL).sqrt()
    matrix = -elasticity * (half @ half.transpose(1, 2))
    matrix.diagonal(dim1=1, dim2=2).add_(1 + DAMPING)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    direction = torch.cholesky_solve(((due - rows) / root).unsqueeze(2), factor).squeeze(2) / root
    low, high = direction.amin(dim=1, keepdim=True).clamp(max=0), direction.amax(dim=1, keepdim=True).clamp(min=0)
    reach = (high - low) * (1 + 3 * inverse_price)
    step = direction * torch.log1p(reach) / reach.clamp(min=SMALL)
    return torch.where(failed.unsqueeze(1) > 0, sinkhorn_step(due, rows, elasticity), step) if failed.any() else step


def potential(mass: Tensor, log_sum: Tensor) -> Tensor:
    """Return the potential that makes masses exact. Padding has 0: 1e30 would lift it back into the kernel."""
    return (log(mass) - log_sum).masked_fill(mass == 0, 0)


def proximal(cost: Tensor, a: Tensor, b: Tensor, proximal_step: float, stop: Stop) -> Plan:
    """Approach argmin <P, C> by P <- argmin <P', C> + proximal_step * KL(P' | P), one Sinkhorn iteration for each.

    IPOT (Xie, Wang, Wang & Zha 2020, algorithm 1 with L = 1), and a projection on the marginals at the end.
    """

    def step(kernel: Tensor, a: Tensor, b: Tensor, v: Tensor, log_plan: Tensor, plan: Tensor, _: Tensor) -> State:
        log_plan = (log_plan + kernel).clamp(min=FORBIDDEN)
        u = potential(a, torch.logsumexp(log_plan + v.unsqueeze(1), dim=2))
        v = potential(b, torch.logsumexp(log_plan + u.unsqueeze(2), dim=1))
        log_plan = log_plan + u.unsqueeze(2) + v.unsqueeze(1)
        moved = log_plan.exp()
        return kernel, a, b, v, log_plan, moved, relative(moved - plan, moved)

    kernel, unsolved = without_padding(-cost / proximal_step, a, b), torch.full_like(a[:, 0], torch.inf)
    nothing = torch.zeros_like(kernel)
    near = iterate(step, (kernel, a, b, torch.zeros_like(b), nothing, nothing, unsolved), stop)
    met = project(log(near.plan), a, b, stop)
    return Plan(met.plan, torch.maximum(near.residual, met.residual), near.iterations)


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

    def step(cost: Tensor, a: Tensor, b: Tensor, member: Tensor, plan: Tensor, _: Tensor) -> State:
        norms = (plan.square() @ member).sqrt() @ member.transpose(1, 2)
        slope = plan / norms.clamp(min=SMALL)
        kernel = (group_strength * (log(plan) - slope) - cost) / (epsilon + group_strength)
        moved = project(kernel, a, b, inner)
        return cost, a, b, member, moved.plan, torch.maximum(relative(moved.plan - plan, plan), moved.residual)

    inner = stop._replace(tolerance=max(stop.tolerance / 100, RESOLUTION))
    member, unsolved = functional.one_hot(words).to(cost.dtype), torch.full_like(a[:, 0], torch.inf)
    return iterate(step, (cost, a, b, member, entropic(cost, a, b, epsilon, stop).plan, unsolved), stop, 1)


def exact(cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Return argmin <P, C> with marginals a and b, by POT's network simplex."""
    return _one_by_one(ot.emd, cost, a, b)


def quadratic(cost: Tensor, a: Tensor, b: Tensor, strength: float) -> Plan:
    """Return argmin <P, C> + strength / 2 * |P|^2: a sparse plan (Blondel, Seguy & Rolet 2018), by POT."""
    return _one_by_one(lambda *problem: ot.smooth.smooth_ot_dual(*problem, strength, stopThr=1e-12), cost, a, b)


def _one_by_one(solve: Callable[..., np.ndarray], cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Run a solver of POT on each problem without its padding, in float64."""
    arrays = [each.double().cpu().numpy() for each in (cost, a, b)]
    plans = np.zeros_like(arrays[0])
    for plan, matrix, mass, other in zip(plans, *arrays, strict=True):
        block = np.ix_(mass > 0, other > 0)
        masses = (side[side > 0] / side.sum() for side in (mass, other))
        plan[block] = solve(*masses, matrix[block])
    plan = torch.from_numpy(plans).to(cost)
    deviations = torch.cat([plan.sum(dim=2) - a, plan.sum(dim=1) - b], dim=1)
    return Plan(plan, relative(deviations, plan), 1)


def greedy(cost: Tensor, a: Tensor, b: Tensor) -> Plan:
    """Return all mass of a column's token on its nearest row's token. Only the columns' marginal holds."""
    nearest = cost.masked_fill((a == 0).unsqueeze(2), torch.inf).argmin(dim=1, keepdim=True)
    plan = torch.zeros_like(cost).scatter_(1, nearest, b.unsqueeze(1))
    return Plan(plan, torch.zeros_like(a[:, 0]), 1)
