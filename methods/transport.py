"""Optimal transport between the tokens of two sentences, a batch of sentence pairs at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from ot.batch import solve_batch
from torch import Tensor
from torch.nn import functional

from bench.api import TokenBatch


@dataclass(frozen=True)
class Plan:
    """Transport plans of a batch: `plan` is (batch, n, m) float32, without a gradient.

    `violation` (batch,) is the largest absolute deviation of a row's or column's mass from its marginal.
    """

    plan: Tensor
    violation: Tensor
    iterations: int

    def unconverged(self, tolerance: float) -> float:
        """The share of plans whose marginals are off by more than `tolerance`."""
        return float((self.violation > tolerance).float().mean())


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine between tokens: x (batch, n, dim), y (batch, m, dim) -> (batch, n, m) float32."""
    x, y = functional.normalize(x.float(), dim=-1), functional.normalize(y.float(), dim=-1)
    with torch.autocast(x.device.type, enabled=False):
        return 1 - x @ y.transpose(1, 2)


def uniform_marginal(batch: TokenBatch, *, special_tokens: bool) -> Tensor:
    """Equal mass on every token of a sentence, summing to 1: (batch, length) float32; padding has none.

    Special tokens have mass only if `special_tokens`, or if a sentence has nothing else.
    """
    real = batch.attention_mask.bool()
    mass = real if special_tokens else real & ~batch.special
    mass = torch.where(mass.any(dim=1, keepdim=True), mass, real).float()
    return mass / mass.sum(dim=1, keepdim=True)


ROUND = 40
"""Iterations between two looks at which problems of a batch are solved."""


FORBIDDEN = -1e30
"""Log-kernel between tokens of which one has no mass: finite, because minus infinity would breed NaN."""


@torch.no_grad()
def entropic_plan(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, max_iterations: int) -> Plan:
    """The plan that minimises <P, cost> - epsilon * H(P) with marginals a (batch, n) and b (batch, m).

    POT's batched Sinkhorn in the log domain (Cuturi 2013), in float32, until no row's mass is off by more than
    `tolerance` (the columns' is exact), or for `max_iterations`, which shows in `violation`. A few problems take many
    times longer than the rest, so it goes in rounds that only the unsolved ones enter: a round starts from the last
    one's potentials, absorbed into the cost, and thus continues the same iteration.
    """
    with torch.autocast(cost.device.type, enabled=False):
        # POT starts from potentials of zero, by which padding would take part in every round's first iteration.
        massless = (a == 0).unsqueeze(2) | (b == 0).unsqueeze(1)
        kernel = (-cost.float() / epsilon).masked_fill(massless, FORBIDDEN)
        plan = torch.zeros_like(kernel)
        violation = torch.full((len(kernel),), torch.inf, device=kernel.device)
        active = torch.arange(len(kernel), device=kernel.device)
        done = 0
        while len(active) and done < max_iterations:
            length = min(ROUND, max_iterations - done)
            result = solve_batch(
                -kernel[active] * epsilon,
                epsilon,
                a[active],
                b[active],
                max_iter=length,
                tol=tolerance,
                method="log_sinkhorn",
                grad="detach",
            )
            done += result.log["n_iter"] + 1
            plan[active] = result.plan
            off_rows = (result.plan.sum(dim=2) - a[active]).abs().amax(dim=1)
            off_columns = (result.plan.sum(dim=1) - b[active]).abs().amax(dim=1)
            violation[active] = torch.maximum(off_rows, off_columns)
            u, v = result.potentials
            # Tokens without mass have a potential of minus infinity, which must not be absorbed.
            u, v = u.masked_fill(a[active] == 0, 0), v.masked_fill(b[active] == 0, 0)
            kernel[active] += u.unsqueeze(2) + v.unsqueeze(1)
            active = active[violation[active] > tolerance]
    return Plan(plan, violation, done)


def transport_loss(plan: Tensor, cost: Tensor) -> Tensor:
    """The Frobenius inner product <P, C> of each problem, (batch,); a gradient flows through the cost only."""
    return (plan.detach() * cost).sum(dim=(1, 2))
