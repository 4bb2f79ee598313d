"""`bench speed ot`: what optimal transport costs in a training step, and against POT called in a loop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any, get_args

import numpy as np
import ot as pot
import torch
from torch import Tensor

from bench.api import Task
from methods import solvers
from methods.optical import Optical, OpticalConfig, Solver, Tokens
from methods.transport import cosine_cost

Problems = tuple[Tensor, Tensor, Tensor, Tensor]
"""Cost, marginals and words of a batch."""
Table = tuple[str, list[str], list[list[str]]]

BATCHES, LENGTHS = (16, 64), (16, 32, 64)
LOOPED = 4
"""Problems of a batch that POT is timed on; a loop over all of them takes as many times longer."""
KEPT = 3
"""Batches of a training that the other solvers are timed on."""
PATIENCE = 0.2
"""Seconds after which something is not timed again; five times it is otherwise."""

DEFAULT = OpticalConfig()
POT: dict[Solver, Callable[..., Any]] = {
    "entropic": lambda cost, a, b, words: pot.sinkhorn(
        a, b, cost, DEFAULT.epsilon, method="sinkhorn_log", stopThr=DEFAULT.tolerance, numItermax=1000
    ),
    "exact": lambda cost, a, b, words: pot.emd(a, b, cost),
    "unbalanced": lambda cost, a, b, words: pot.unbalanced.sinkhorn_unbalanced(
        a, b, cost, DEFAULT.epsilon, DEFAULT.relaxation
    ),
    "partial": lambda cost, a, b, words: pot.partial.entropic_partial_wasserstein(
        a, b, cost, DEFAULT.epsilon, DEFAULT.mass, stopThr=DEFAULT.tolerance
    ),
    "quadratic": lambda cost, a, b, words: pot.smooth.smooth_ot_dual(a, b, cost, DEFAULT.quadratic_strength),
    "group-lasso": lambda cost, a, b, words: pot.da.sinkhorn_l1l2_gl(
        b, words, a, cost.T, DEFAULT.epsilon, DEFAULT.group_strength
    ),
}
"""POT's solver of the same problem, or what it offers for it: its group lasso ends elsewhere (issue 758)."""


class Timed(Optical):
    """The default method, which takes the time of its optimal transport and keeps the problems that it solves."""

    def prepare(self, *arguments: Any) -> None:
        super().prepare(*arguments)
        self.seconds: list[float] = []
        self.solving: list[float] = []
        self.problems: list[Problems] = []

    def transport(self, english: Tokens, student: Tokens) -> tuple[Tensor, solvers.Plan]:
        started = time.perf_counter()
        result = super().transport(english, student)
        self.seconds.append(time.perf_counter() - started)
        return result

    def plan(self, *problem: Tensor) -> solvers.Plan:
        started = time.perf_counter()
        plan = super().plan(*problem)
        self.solving.append(time.perf_counter() - started)
        self.problems.append(problem)  # type: ignore[arg-type]
        return plan


def ot(tasks: Iterable[Task]) -> Iterator[Table]:
    """First the share of a step, for each solver on the problems of a short training; then batches and lengths."""
    for task in tasks:
        yield shares(task)
    yield sweep()


def shares(task: Task) -> Table:
    """The milliseconds and the share of a step that cost, plan and <P, C> take, without the backward pass."""
    marks: list[float] = []
    task.on_step = lambda record: marks.append(time.perf_counter())
    method = Timed()
    method.fit(task)
    step = median(np.diff(marks))
    spent, solving = median(method.seconds[1:]), median(method.solving[1:])
    problems = method.problems[-KEPT:]
    rows = []
    for solver in get_args(Solver):
        config = OpticalConfig(solver=solver)
        own = solving if config == DEFAULT else median(seconds(config, problem) for problem in problems)
        whole = step - solving + own
        transport = spent - solving + own
        figures = [f"{1e3 * transport:.1f}", f"{1e3 * whole:.0f}", f"{transport / whole:.1%}"]
        rows.append([solver, *figures, looped(solver, problems[-1])])
    title = (
        f"{task.teacher.name} on {', '.join(map(str, task.data.pairs))}, {task.precision}, "
        f"{task.recipe.batch_size} sentence pairs a step, {torch.get_num_threads()} threads"
    )
    return title, ["solver", "transport ms", "step ms", "share of the step", "POT in a loop ms"], rows


def sweep() -> Table:
    """The milliseconds that a batch takes, and POT in a loop, on generated problems."""
    shapes = [(batch, length) for batch in BATCHES for length in LENGTHS]
    rows = []
    for solver in get_args(Solver):
        row = [solver]
        for batch, length in shapes:
            problem = generated(batch, length, torch.Generator().manual_seed(0))
            row.append(f"{1e3 * seconds(OpticalConfig(solver=solver), problem):.1f} / {looped(solver, problem)}")
        rows.append(row)
    title = "generated sentences of half the length to all of it: milliseconds of a batch, and of POT in a loop"
    return title, ["solver", *(f"{batch} x {length}" for batch, length in shapes)], rows


def seconds(config: OpticalConfig, problem: Problems) -> float:
    """The median of several runs, the first of which counts only if there is no time for another."""
    method, taken = Optical(config), list[float]()
    while len(taken) < 6 and sum(taken) < PATIENCE:
        started = time.perf_counter()
        method.plan(*problem)
        taken.append(time.perf_counter() - started)
    return median(taken[1:] or taken)


def looped(solver: Solver, problem: Problems) -> str:
    """The milliseconds that POT takes for the problems one after the other; - where it has no such solver."""
    if solver not in POT:
        return "-"
    started = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for cost, a, b, words in zip(*(each[:LOOPED].cpu().double().numpy() for each in problem), strict=True):
            rows, columns = a > 0, b > 0
            masses = a[rows] / a.sum(), b[columns] / b.sum()
            POT[solver](cost[np.ix_(rows, columns)], *masses, words[columns])
    return f"{1e3 * (time.perf_counter() - started) * len(problem[0]) / min(LOOPED, len(problem[0])):.0f}"


def generated(batch: int, length: int, generator: torch.Generator) -> Problems:
    """Sentences of random unit vectors, and translations that have three of four of their tokens, blurred and moved."""
    english = torch.randn(batch, length, 64, generator=generator)
    kept = torch.stack([torch.randperm(length, generator=generator)[: 3 * length // 4] for _ in range(batch)])
    foreign = english.gather(1, kept.unsqueeze(2).expand(-1, -1, 64))
    foreign = foreign + torch.randn(foreign.shape, generator=generator)
    share = 0.5 + 0.5 * torch.rand(batch, 1, generator=generator)
    masses = [(torch.arange(size) < (share * size).ceil()).float() for size in (length, foreign.shape[1])]
    a, b = (mass / mass.sum(dim=1, keepdim=True) for mass in masses)
    words = torch.arange(foreign.shape[1]).div(2, rounding_mode="floor").expand(batch, -1)
    return cosine_cost(english, foreign), a, b, words
