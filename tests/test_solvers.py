"""Every solver on random padded problems in float32: against POT, closed forms, company and finite differences."""

import math
import warnings
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from bench.training.method import Task
from methods import solvers
from methods.optical import SOLVERS as METHODS
from methods.optical import OpticalConfig, cosine_cost, transport_loss
from methods.solvers import Plan, Stop

Problems = tuple[Tensor, Tensor, Tensor]
Solve = Callable[[Tensor, Tensor, Tensor], Plan]
Array = np.ndarray

FINE = Stop(tolerance=1e-6, max_iterations=20_000)
EPSILON, RELAXATION, MASS, STRENGTH, GROUP, FLOOR = 0.05, 0.5, 0.8, 1.0, 0.1, 0.01
DEFAULT = OpticalConfig().stop


def problems(seed: int, count: int = 8, n: int = 9, m: int = 11, *, uniform: bool = False) -> Problems:
    """Random costs in [0, 2] and marginals; problem i has its last tokens padded, another number in each."""
    rng = torch.Generator().manual_seed(seed)
    cost = cosine_cost(torch.randn(count, n, 5, generator=rng), torch.randn(count, m, 5, generator=rng))
    masses = []
    for size in (n, m):
        mass = torch.ones(count, size) if uniform else 0.2 + torch.rand(count, size, generator=rng)
        for i in range(count):
            mass[i, size - i % (size - 2) :] *= 0 if i % (size - 2) else 1
        masses.append(mass / mass.sum(dim=1, keepdim=True))
    return cost, *masses


def pieces(b: Tensor) -> Tensor:
    """Words of two tokens each."""
    return torch.arange(b.shape[1]).div(2, rounding_mode="floor").expand(b.shape)


def weights(cost: Tensor) -> Tensor:
    """A prior of each pair of places, between 0 and 1; about half of it is below `FLOOR`."""
    rows, columns = (torch.arange(1.0, size + 1) for size in cost.shape[-2:])
    return (2 * torch.outer(rows, columns + 1).mul(17).sin()).clamp(0, 1).expand(cost.shape).to(cost)


def solve_by(stop: Stop) -> dict[str, Solve]:
    return {
        "entropic": lambda *problem: solvers.entropic(*problem, EPSILON, stop),
        "prior": lambda cost, a, b: solvers.prior(cost, a, b, weights(cost), FLOOR, EPSILON, stop),
        "exact": solvers.exact,
        "proximal": lambda *problem: solvers.proximal(*problem, 0.5, stop),
        "unbalanced": lambda *problem: solvers.unbalanced(*problem, EPSILON, RELAXATION, stop),
        "partial": lambda *problem: solvers.partial(*problem, EPSILON, MASS, stop),
        "quadratic": lambda *problem: solvers.quadratic(*problem, STRENGTH),
        "group-lasso": lambda cost, a, b: solvers.group_lasso(cost, a, b, pieces(b), EPSILON, GROUP, stop),
        "greedy": solvers.greedy,
    }


SOLVERS = solve_by(FINE)
BALANCED = ("entropic", "prior", "exact", "proximal", "quadratic", "group-lasso")
PLANS_BY_POT: dict[str, Callable[[Array, Array, Array], Array]] = {
    "entropic": lambda a, b, cost: ot.sinkhorn(
        a, b, cost, EPSILON, method="sinkhorn_log", stopThr=1e-10, numItermax=100_000
    ),
    "prior": lambda a, b, cost: ot.sinkhorn(
        a,
        b,
        cost - EPSILON * np.log(weights(torch.from_numpy(cost)).clamp(min=FLOOR).numpy()),
        EPSILON,
        method="sinkhorn_log",
        stopThr=1e-10,
        numItermax=100_000,
    ),
    "unbalanced": lambda a, b, cost: ot.unbalanced.sinkhorn_unbalanced(
        a, b, cost, EPSILON, RELAXATION, reg_type="kl", stopThr=1e-12, numItermax=10_000
    ),
    "partial": lambda a, b, cost: ot.sinkhorn(
        np.append(a, 1 - MASS),
        np.append(b, 1 - MASS),
        np.pad(cost, (0, 1)) + 1e3 * np.outer(np.arange(len(a) + 1) == len(a), np.arange(len(b) + 1) == len(b)),
        EPSILON,
        method="sinkhorn_log",
        stopThr=1e-10,
        numItermax=100_000,
    )[:-1, :-1],
    "quadratic": lambda a, b, cost: ot.smooth.smooth_ot_semi_dual(a, b, cost, STRENGTH, stopThr=1e-12),
    "exact": lambda a, b, cost: ot.emd(a, b, cost),
}


def bare(cost: Tensor, a: Tensor, b: Tensor) -> Iterator[tuple[Array, Array, Array]]:
    """Each problem without its padding, in float64."""
    for one, left, right in zip(*(each.double().numpy() for each in (cost, a, b)), strict=True):
        block = np.ascontiguousarray(one[np.ix_(left > 0, right > 0)])
        yield left[left > 0] / left.sum(), right[right > 0] / right.sum(), block


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("name", PLANS_BY_POT)
def test_plan_is_that_of_pot(name: str, uniform: bool) -> None:
    """The tolerance is 1e-4 of mass, and 1e-3 for POT's semi-dual, which checks the quadratic solver."""
    problem = problems(0, uniform=uniform)
    plans = SOLVERS[name](*problem).plan
    assert plans.dtype == torch.float32
    for plan, (a, b, cost) in zip(plans, bare(*problem), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = PLANS_BY_POT[name](a, b, cost)
        found = plan[: len(a), : len(b)].double().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3 if name == "quadratic" else 1e-4)


def test_proximal_steps_reach_the_exact_cost() -> None:
    """The tolerance is 1e-3, on costs of about 0.5."""
    problem = problems(1)
    values = (SOLVERS["proximal"](*problem).plan * problem[0]).sum(dim=(1, 2))
    assert values.tolist() == pytest.approx([ot.emd2(*each) for each in bare(*problem)], abs=1e-3)


@pytest.mark.parametrize("share", [1, MASS, 0.3])
def test_cost_tends_to_the_exact_one_as_epsilon_shrinks(share: float) -> None:
    """POT's network simplex moves all of the mass, or a part of it."""
    problem = problems(2)
    best = np.array(
        [ot.partial.partial_wasserstein2(a, b, cost, m=share * min(a.sum(), b.sum())) for a, b, cost in bare(*problem)]
    )
    gaps = []
    for epsilon in (0.5, 0.1, 0.02, 0.005):
        plan = solvers.partial(*problem, epsilon, share, FINE).plan
        gaps.append((plan * problem[0]).sum(dim=(1, 2)).numpy() - best)
        if share == 1:
            assert torch.allclose(plan, solvers.entropic(*problem, epsilon, FINE).plan, atol=1e-5)
    assert (np.diff(gaps, axis=0) < 1e-4).all()
    assert (gaps[0] > 0.05).any() and (np.abs(gaps[-1]) < 3e-3).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_mass_is_where_it_should_be(name: str) -> None:
    cost, a, b = problems(3)
    plan = SOLVERS[name](cost, a, b).plan
    rows, columns = plan.sum(dim=2), plan.sum(dim=1)
    assert (plan >= 0).all() and not plan.requires_grad
    assert (plan[a == 0] == 0).all() and (plan.transpose(1, 2)[b == 0] == 0).all()
    if name in BALANCED:
        assert (rows - a).abs().max() < 1e-4 and (columns - b).abs().max() < 1e-4
    elif name == "greedy":
        assert torch.allclose(columns, b, atol=1e-7)
        best = cost.masked_fill((a == 0).unsqueeze(2), torch.inf).amin(dim=1)
        assert torch.allclose((plan * cost).sum(dim=(1, 2)), (b * best).sum(dim=1))
    elif name == "partial":
        assert torch.allclose(rows.sum(dim=1), torch.full((len(a),), MASS), atol=1e-5)
        assert (rows <= a + 1e-5).all() and (columns <= b + 1e-5).all()
    else:
        assert (rows.sum(dim=1) < 1).all()


def test_every_solver_of_the_method_is_tested() -> None:
    assert list(SOLVERS) == list(METHODS)


@pytest.mark.parametrize("stop", [FINE, DEFAULT, Stop(1e-9, 7)], ids=["fine", "default", "stopped early"])
@pytest.mark.parametrize("name", SOLVERS)
def test_company_and_padding_change_nothing(name: str, stop: Stop) -> None:
    """A problem's plan is the same alone and without its padding, in a batch of easy and hard problems.

    The tolerance is for the rounding of many iterations in float32.
    """
    cost, a, b = problems(6)
    cost[::2] *= 0.1
    together = solve_by(stop)[name](cost, a, b)
    for i in range(len(cost)):
        n, m = int((a[i] > 0).sum()), int((b[i] > 0).sum())
        alone = solve_by(stop)[name](cost[i : i + 1, :n, :m], a[i : i + 1, :n], b[i : i + 1, :m])
        assert (together.plan[i, :n, :m] - alone.plan[0]).abs().sum() < 5e-5 * alone.plan.sum()
        assert float(together.residual[i]) == pytest.approx(float(alone.residual[0]), abs=1e-5)


@pytest.mark.parametrize("relaxation", [0.05, 0.5, 5, 500])
@pytest.mark.parametrize("length", [5, 20, 60, 128])
def test_unbalanced_mass_at_a_constant_cost_is_that_of_the_closed_form(length: int, relaxation: float) -> None:
    """Between marginals of mass 1 the plan is m a b^T, where m minimises
    c m + (epsilon + 2 relaxation) (m log m - m): m = exp(-c / (epsilon + 2 relaxation)).
    """
    cost, (_, a, b) = torch.full((1, length, length), 0.7), problems(4, count=1, n=length, m=length)
    solved = solvers.unbalanced(cost, a, b, EPSILON, relaxation, DEFAULT)
    expected = math.exp(-0.7 / (EPSILON + 2 * relaxation)) * a.unsqueeze(2) * b.unsqueeze(1)
    assert (solved.plan - expected).abs().sum() < 1e-4 * expected.sum()
    assert solved.unconverged(DEFAULT.tolerance) == 0


@pytest.mark.parametrize("length", [5, 30, 128])
@pytest.mark.parametrize("name", ["entropic", "prior", "unbalanced", "partial", "group-lasso", "quadratic"])
def test_default_tolerance_means_the_same_for_every_length(name: str, length: int) -> None:
    """The mass that is misplaced relative to a fine solution is at most five times the tolerance."""
    problem = problems(5, count=3, n=length, m=length)
    found, best = solve_by(DEFAULT)[name](*problem), SOLVERS[name](*problem)
    assert found.unconverged(DEFAULT.tolerance) == 0
    misplaced = (found.plan - best.plan).abs().sum(dim=(1, 2)) / best.plan.sum(dim=(1, 2))
    assert misplaced.max() < 5 * DEFAULT.tolerance


@pytest.mark.parametrize("spread", [0, 4])
@pytest.mark.parametrize("epsilon", [0.1, 0.02, 0.005])
@pytest.mark.parametrize("shape", [(64, 24, 17), (64, 17, 24), (4, 1, 7), (4, 1, 1)])
def test_entropic_plans_converge(epsilon: float, shape: tuple[int, int, int], spread: float) -> None:
    """They reach a tolerance of 1e-4 in 200 iterations, or 500 between unequal masses; Sinkhorn's need thousands."""
    count, n, m = shape
    rng = torch.Generator().manual_seed(7)
    x = torch.randn(count, n, 8, generator=rng)
    y = x[:, torch.arange(m) % n] + 0.3 * torch.randn(count, m, 8, generator=rng)
    a, b = (torch.softmax(spread * torch.randn(count, size, generator=rng), dim=1) for size in (n, m))
    plan = solvers.entropic(cosine_cost(x, y), a, b, epsilon, Stop(1e-4, 500 if spread else 200))
    assert plan.unconverged(1e-4) == 0


@pytest.mark.parametrize("name", [name for name, (_, names) in METHODS.items() if "stop" in names])
def test_a_plan_that_was_stopped_early_says_so(name: str) -> None:
    cost, a, b = problems(8)
    stopped = solve_by(Stop(1e-7, 2))[name](10 * cost, a, b)
    assert stopped.iterations == 2
    assert stopped.unconverged(1e-7) == pytest.approx(float((stopped.residual > 1e-7).float().mean()))
    assert stopped.unconverged(1e-7) > 0.5
    assert torch.isfinite(stopped.plan).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_gradient_of_the_loss_is_the_plan(name: str) -> None:
    """The finite differences of <P, C> at fixed P, and none through the plan of a cost with a gradient."""
    cost, a, b = (each.double() for each in problems(9, count=2, n=3, m=4))
    with torch.no_grad():
        plan = SOLVERS[name](cost, a, b).plan
    cost.requires_grad_()
    assert torch.autograd.gradcheck(lambda each: transport_loss(plan, each), cost)
    transport_loss(plan.requires_grad_(), cost).sum().backward()
    assert torch.equal(cost.grad, plan) and plan.grad is None


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p / q) - p + q).sum()


VALUES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "entropic": lambda p, c, a, b: (p * c).sum() + EPSILON * torch.xlogy(p, p).sum(),
    "prior": lambda p, c, a, b: (p * c).sum() + EPSILON * kl(p, weights(p).clamp(min=FLOOR)),
    "partial": lambda p, c, a, b: (
        (p * c).sum() + EPSILON * sum(torch.xlogy(x, x).sum() for x in (p, a - p.sum(2), b - p.sum(1)))
    ),
    "quadratic": lambda p, c, a, b: (p * c).sum() + STRENGTH / 2 * p.square().sum(),
    "unbalanced": lambda p, c, a, b: (
        (p * c).sum()
        + EPSILON * kl(p, a.unsqueeze(2) * b.unsqueeze(1))
        + RELAXATION * (kl(p.sum(2), a) + kl(p.sum(1), b))
    ),
    "group-lasso": lambda p, c, a, b: (
        (p * c).sum()
        + EPSILON * torch.xlogy(p, p).sum()
        + GROUP * (p.square() @ torch.nn.functional.one_hot(pieces(b)[0]).to(p)).sqrt().sum()
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_gradient_of_the_regularised_value_is_the_plan(name: str) -> None:
    """Finite differences of the objective, solved again for each cost, in float64. POT's quadratic stops at 1e-3."""
    cost, a, b = (each.double() for each in problems(9, count=1, n=3, m=4, uniform=True))
    step = 1e-4
    plan = SOLVERS[name](cost, a, b).plan
    for index in np.ndindex(*cost.shape):
        values = []
        for sign in (1, -1):
            moved = cost.clone()
            moved[index] += sign * step
            values.append(float(VALUES[name](SOLVERS[name](moved, a, b).plan, moved, a, b)))
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(
            float(plan[index]), abs=1e-3 if name == "quadratic" else 1e-4
        )


def test_benchmark_prints_a_row_for_each_solver(
    make_task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parents[1] / "benchmarks" / "ot_speed.py"
    benchmark = SourceFileLoader("ot_speed", str(path)).load_module()
    monkeypatch.setattr(benchmark, "SHAPES", [(2, 4), (2, 6)])
    monkeypatch.setattr(benchmark, "PATIENCE", 1e-9)
    benchmark.shares(make_task(4))
    benchmark.sweep()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in SOLVERS] == [*SOLVERS, *SOLVERS]
    assert ["solver", "2", "x", "4", "2", "x", "6"] in rows
