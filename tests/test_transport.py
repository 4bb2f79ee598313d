"""Transport plans against POT's exact solver, its one-call Sinkhorn and finite differences."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from ot.batch import solve_batch
from torch import Tensor

from bench.encoders.encoder import Encoder, TokenBatch
from methods.transport import ROUND, cosine_cost, entropic_plan, transport_loss, uniform_marginal


def problems(seed: int, count: int = 6, n: int = 9, m: int = 11, *, padded: bool = True) -> tuple[Tensor, ...]:
    """Random costs in [0, 2] and uniform marginals; problem i has its last tokens padded, another number in each."""
    rng = torch.Generator().manual_seed(seed)
    x, y = torch.randn(count, n, 5, generator=rng), torch.randn(count, m, 5, generator=rng)
    a, b = torch.ones(count, n), torch.ones(count, m)
    if padded:
        for i in range(count):
            a[i, n - i % (n - 2) :] = 0 if i % (n - 2) else 1
            b[i, 3 + i % (m - 3) :] = 0
    return cosine_cost(x, y), a / a.sum(dim=1, keepdim=True), b / b.sum(dim=1, keepdim=True)


def exact(cost: Tensor, a: Tensor, b: Tensor) -> np.ndarray:
    """The least cost of each problem, by POT's network simplex on the tokens that have mass."""
    values = []
    for one, left, right in zip(*(t.double().numpy() for t in (cost, a, b)), strict=True):
        rows, columns = left > 0, right > 0
        masses = [mass[mass > 0] / mass.sum() for mass in (left, right)]
        values.append(ot.emd2(*masses, np.ascontiguousarray(one[np.ix_(rows, columns)])))
    return np.array(values)


@pytest.mark.parametrize("padded", [False, True])
def test_plan_tends_to_the_exact_optimum_as_epsilon_shrinks(padded: bool) -> None:
    cost, a, b = problems(0, padded=padded)
    best = exact(cost, a, b)
    gaps = []
    for epsilon in (0.5, 0.2, 0.1, 0.05, 0.02):
        result = entropic_plan(cost, a, b, epsilon, tolerance=1e-5, max_iterations=20_000)
        gaps.append(transport_loss(result.plan, cost).double().numpy() - best)
    assert (np.diff(gaps, axis=0) < 1e-4).all()
    assert (gaps[0] > 0.05).any()
    assert (np.abs(gaps[-1]) < 0.01).all()


@pytest.mark.parametrize("epsilon", [0.2, 0.05])
def test_padding_has_exactly_no_mass(epsilon: float) -> None:
    cost, a, b = problems(1)
    plan = entropic_plan(cost, a, b, epsilon, 1e-4, 1000).plan
    assert (plan[a == 0] == 0).all()
    assert (plan.transpose(1, 2)[b == 0] == 0).all()
    assert ((a == 0).any() and (b == 0).any()).item()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_marginals_hold_within_the_tolerance(tolerance: float, padded: bool) -> None:
    cost, a, b = problems(2, padded=padded)
    result = entropic_plan(cost, a, b, 0.05, tolerance, 5000)
    assert (result.plan.sum(dim=2) - a).abs().max() <= tolerance
    assert (result.plan.sum(dim=1) - b).abs().max() <= tolerance
    assert result.unconverged(tolerance) == 0


def in_one_call(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, iterations: int, tolerance: float) -> Tensor:
    """The plans of POT's batched Sinkhorn, each problem solved in one call on nothing but its tokens with mass."""
    plans = torch.zeros_like(cost)
    for i in range(len(cost)):
        n, m = int((a[i] > 0).sum()), int((b[i] > 0).sum())
        plans[i, :n, :m] = solve_batch(
            cost[i : i + 1, :n, :m],
            epsilon,
            a[i : i + 1, :n],
            b[i : i + 1, :m],
            max_iter=iterations,
            tol=tolerance,
            method="log_sinkhorn",
            grad="detach",
        ).plan[0]
    return plans


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_rounds_continue_the_same_iteration(rounds: int, padded: bool) -> None:
    """With a tolerance that nothing meets, plans after some rounds are those of one call with as many iterations."""
    cost, a, b = problems(3, padded=padded)
    iterations = rounds * ROUND
    result = entropic_plan(cost, a, b, 0.05, -1.0, iterations)
    assert result.iterations == iterations
    assert torch.allclose(result.plan, in_one_call(cost, a, b, 0.05, iterations, -1.0), atol=2e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_problems_that_leave_early_change_nothing(padded: bool) -> None:
    """Solved together or alone, and by POT in one call: the same plans."""
    cost, a, b = problems(4, count=8, padded=padded)
    together = entropic_plan(cost, a, b, 0.05, 1e-6, 20_000)
    alone = [entropic_plan(cost[i : i + 1], a[i : i + 1], b[i : i + 1], 0.05, 1e-6, 20_000) for i in range(8)]
    assert len({result.iterations for result in alone}) > 1
    assert torch.allclose(together.plan, torch.cat([result.plan for result in alone]), atol=2e-5)
    assert torch.allclose(together.plan, in_one_call(cost, a, b, 0.05, 20_000, 1e-6), atol=2e-5)


def test_padding_does_not_slow_the_iteration_down() -> None:
    """A problem with padding is the problem without it."""
    cost, a, b = problems(5, count=1, padded=False)
    bare = entropic_plan(cost, a, b, 0.05, 1e-5, 5000)
    wide_cost = torch.nn.functional.pad(cost, (0, 6, 0, 4), value=0.3)
    padded = entropic_plan(
        wide_cost, torch.nn.functional.pad(a, (0, 4)), torch.nn.functional.pad(b, (0, 6)), 0.05, 1e-5, 5000
    )
    assert torch.allclose(padded.plan[:, :9, :11], bare.plan, atol=1e-5)
    assert abs(padded.iterations - bare.iterations) <= ROUND


def test_plan_that_was_stopped_early_says_so() -> None:
    cost, a, b = problems(6)
    stopped = entropic_plan(cost, a, b, 0.01, 1e-6, 2)
    off = torch.maximum(
        (stopped.plan.sum(dim=2) - a).abs().amax(dim=1), (stopped.plan.sum(dim=1) - b).abs().amax(dim=1)
    )
    assert torch.equal(stopped.violation, off)
    assert (stopped.violation > 1e-6).any()
    assert stopped.unconverged(1e-6) == pytest.approx(float((off > 1e-6).float().mean()))
    assert stopped.iterations == 2


def test_no_gradient_flows_through_the_plan() -> None:
    cost, a, b = problems(7)
    cost.requires_grad_(True)
    assert not entropic_plan(cost, a, b, 0.1, 1e-4, 100).plan.requires_grad


def test_gradient_of_the_loss_is_the_plan_itself() -> None:
    """By finite differences, the plan held where it is."""
    cost, a, b = problems(8, count=2, n=4, m=5, padded=False)
    plan = entropic_plan(cost, a, b, 0.1, 1e-5, 1000).plan.double()
    cost = cost.double().requires_grad_(True)
    transport_loss(plan, cost).sum().backward()
    step = 1e-4
    for index in np.ndindex(*cost.shape):
        up, down = cost.detach().clone(), cost.detach().clone()
        up[index] += step
        down[index] -= step
        slope = float((transport_loss(plan, up) - transport_loss(plan, down)).sum()) / (2 * step)
        assert float(cost.grad[index]) == pytest.approx(slope, abs=1e-9)
    assert torch.equal(cost.grad, plan)


def test_gradient_reaches_the_embeddings_through_the_cost() -> None:
    rng = torch.Generator().manual_seed(9)
    x, y = (torch.randn(1, 3, 4, generator=rng, dtype=torch.float32) for _ in range(2))
    plan = torch.full((1, 3, 3), 1 / 9)
    y.requires_grad_(True)
    transport_loss(plan, cosine_cost(x, y)).sum().backward()
    step = 1e-2
    for index in np.ndindex(*y.shape):
        up, down = y.detach().double(), y.detach().double()
        up[index] += step
        down[index] -= step
        values = [
            float((plan.double() * (1 - torch.cosine_similarity(x.double()[:, :, None], moved[:, None], dim=-1))).sum())
            for moved in (up, down)
        ]
        assert float(y.grad[index]) == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-3)


def test_cost_is_one_minus_the_cosine() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    y = torch.tensor([[[3.0, 0.0], [-1.0, 0.0], [1.0, 1.0]]])
    expected = [[0, 2, 1 - 0.5**0.5], [1, 1, 1 - 0.5**0.5]]
    assert torch.allclose(cosine_cost(x, y)[0], torch.tensor(expected), atol=1e-6)


def token_batch(mask: list[list[int]], special: list[list[bool]]) -> TokenBatch:
    mask_tensor = torch.tensor(mask)
    return TokenBatch(torch.zeros_like(mask_tensor), mask_tensor, torch.tensor(special), int(mask_tensor.sum()))


def test_mass_is_equal_on_words_and_none_is_on_padding_or_special_tokens() -> None:
    batch = token_batch(
        [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], [[True, False, False, True, True], [True, False, False, False, True]]
    )
    third = 1 / 3
    expected = torch.tensor([[0, 0.5, 0.5, 0, 0], [0, third, third, third, 0]])
    assert torch.allclose(uniform_marginal(batch, special_tokens=False), expected)
    expected = torch.tensor([[0.25, 0.25, 0.25, 0.25, 0], [0.2, 0.2, 0.2, 0.2, 0.2]])
    assert torch.allclose(uniform_marginal(batch, special_tokens=True), expected)


def test_sentence_of_nothing_but_special_tokens_has_its_mass_on_them() -> None:
    batch = token_batch([[1, 1, 0], [1, 1, 1]], [[True, True, True], [True, False, True]])
    expected = torch.tensor([[0.5, 0.5, 0], [0, 1.0, 0]])
    assert torch.equal(uniform_marginal(batch, special_tokens=False), expected)


def test_marginals_of_real_batches_sum_to_one(encoder: Encoder) -> None:
    batch = encoder.collate(encoder.tokenize(["the cat saw a red house", "", "the dog"], "query"))
    mass = uniform_marginal(batch, special_tokens=False)
    assert torch.allclose(mass.sum(dim=1), torch.ones(3))
    assert (mass[batch.attention_mask == 0] == 0).all()
    assert mass[0, 0] == 0 and mass[2, 0] == 0  # [CLS]
