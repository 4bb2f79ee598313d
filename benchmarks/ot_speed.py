"""Time optimal transport: its share of a training step, and against POT called in a loop.

    python benchmarks/ot_speed.py [ENCODER ...]

prints a table for each encoder (default: tiny and all-MiniLM-L6-v2), for batches of the embedded collection, and a
table for generated batches of several sizes. Transport is cost, experiment and loss, without the backward pass.
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import ot
import torch

from bench.api import Task, TokenBatch, autocast
from bench.data import Pair, TrainingData, conlang
from bench.encoders.models import default_recipe
from bench.encoders.student import make_student
from bench.recipe import Budget
from bench.system.machine import machine, precision
from bench.tables import print_table
from bench.training.teachers import load_teacher
from methods.optical import SOLVERS, Optical, OpticalConfig, Table, Tokens, cosine_cost, learn_table

PAIR, STEPS = Pair("qaa", "eng"), 20
SHAPES = [(batch, length) for batch in (16, 64) for length in (16, 32, 64)]
LOOPED = 4
"""Problems of a batch that POT is timed on. The time of the whole batch is extrapolated."""
PIECES = 10_000
"""Vocabulary of generated sentences."""
PATIENCE = 0.2
"""Seconds after which a solver is not timed again. It is timed six times otherwise."""
POT: dict[str, Callable[..., Any]] = {
    "entropic": lambda c, a, b, words: ot.sinkhorn(a, b, c, 0.05, method="sinkhorn_log", stopThr=1e-4, numItermax=1000),
    "exact": lambda c, a, b, words: ot.emd(a, b, c),
    "unbalanced": lambda c, a, b, words: ot.unbalanced.sinkhorn_unbalanced(a, b, c, 0.05, 0.5),
    "partial": lambda c, a, b, words: ot.partial.entropic_partial_wasserstein(a, b, c, 0.05, 0.8, stopThr=1e-4),
    "quadratic": lambda c, a, b, words: ot.smooth.smooth_ot_dual(a, b, c, 1.0),
    "group-lasso": lambda c, a, b, words: ot.da.sinkhorn_l1l2_gl(b, words, a, c.T, 0.05, 0.1),
}
"""POT's solvers with the default settings of `optical`, and with their own tolerances. Its group lasso does not solve
the problem (issue 758)."""


def shares(task: Task) -> None:
    """Print each solver's milliseconds and share of a step, on a batch of a trained student."""
    marks: list[float] = []
    task.on_step = lambda record: marks.append(time.perf_counter())
    method = Optical()
    method.fit(task)
    rows = next(method.batches(task.numpy_generator("speed")))["bitext"]
    with torch.no_grad(), autocast(task.teacher.device, task.precision):
        sides = method.english, method.student_sides[0]
        tokens = [method.read(side, side.texts.batch(rows)) for side in sides]
    table = learn_table(sides[1].texts, sides[0].texts, method.config.prior_floor)
    times = {solver: seconds(solver, *tokens, table) for solver in SOLVERS}
    lines = []
    for solver, transport in times.items():
        step = median(np.diff(marks)) - times["entropic"] + transport
        figures = [f"{1e3 * transport:.1f}", f"{1e3 * step:.0f}", f"{transport / step:.1%}"]
        lines.append([solver, *figures, looped(solver, *tokens)])
    title = (
        f"{task.teacher.name} on {PAIR}, {task.precision}, {task.recipe.batch_size} sentence pairs a step, "
        f"{torch.get_num_threads()} threads"
    )
    columns = ["solver", "transport ms", "step ms", "share of the step", "POT in a loop ms"]
    print_table(columns, lines, title=title, right=columns[1:])


def sweep() -> None:
    """Print the milliseconds that a generated batch takes, and POT in a loop."""
    tokens = [generated(batch, length, torch.Generator().manual_seed(0)) for batch, length in SHAPES]
    known = torch.arange(0, PIECES**2 + 1, PIECES + 1)  # each piece translates itself
    table = Table(known, torch.ones(len(known)), PIECES)
    lines = [
        [solver, *(f"{1e3 * seconds(solver, *each, table):.1f} / {looped(solver, *each)}" for each in tokens)]
        for solver in SOLVERS
    ]
    title = "generated sentences of half the length to all of it: milliseconds of a batch, and of POT in a loop"
    columns = ["solver", *(f"{batch} x {length}" for batch, length in SHAPES)]
    print_table(columns, lines, title=title, right=columns[1:])


def seconds(solver: str, english: Tokens, foreign: Tokens, table: Table) -> float:
    """Return the median of several runs. The first run counts only if there is no time for another."""
    method, times = Optical(OpticalConfig(solver=solver)), list[float]()
    while len(times) < 6 and sum(times) < PATIENCE:
        started = time.perf_counter()
        method.transport(english, foreign, table)
        times.append(time.perf_counter() - started)
    return median(times[1:] or times)


def looped(solver: str, english: Tokens, foreign: Tokens) -> str:
    """Return the milliseconds that POT takes for the problems one after the other; - if it has no such solver."""
    if solver not in POT:
        return "-"
    problem = cosine_cost(english.embeddings, foreign.embeddings), english.mass, foreign.mass, foreign.words
    started = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for cost, a, b, words in zip(*(each[:LOOPED].cpu().double().numpy() for each in problem), strict=True):
            rows, columns = a > 0, b > 0
            POT[solver](cost[np.ix_(rows, columns)], a[rows] / a.sum(), b[columns] / b.sum(), words[columns])
    return f"{1e3 * (time.perf_counter() - started) * max(len(english.mass) / LOOPED, 1):.0f}"


def generated(batch: int, length: int, rng: torch.Generator) -> tuple[Tokens, Tokens]:
    """Return sentences of random unit vectors, and translations with three of four tokens, blurred and moved."""
    english = torch.randn(batch, length, 64, generator=rng)
    kept = torch.stack([torch.randperm(length, generator=rng)[: 3 * length // 4] for _ in range(batch)])
    foreign = english.gather(1, kept.unsqueeze(2).expand(-1, -1, 64))
    foreign = foreign + torch.randn(foreign.shape, generator=rng)
    share, sides = 0.5 + 0.5 * torch.rand(batch, 1, generator=rng), []
    for embeddings in (english, foreign):
        places = torch.arange(embeddings.shape[1])
        mass = (places < (share * len(places)).ceil()).float()
        mass = mass / mass.sum(dim=1, keepdim=True)
        ids = torch.randint(PIECES, mass.shape, generator=rng)
        tokens = TokenBatch(ids, mass > 0, mass == 0, int((mass > 0).sum()))
        sides.append(Tokens(tokens, embeddings, mass, (places // 2).expand(batch, -1)))
    return sides[0], sides[1]


def main(*encoders: str) -> None:
    torch.set_num_threads(machine().threads)
    data, device = TrainingData((PAIR,), conlang.bitext(PAIR.query), conlang.relevance()), machine().device
    for name in encoders or ("tiny", "all-MiniLM-L6-v2"):
        teacher, recipe = load_teacher(name, torch.device(device), offline=False), default_recipe(name)
        how = precision("auto", device, teacher.dimension, machine())
        shares(
            Task(data, teacher, partial(make_student, teacher, data, recipe, 0), Budget(STEPS, "steps"), recipe, 0, how)
        )
    sweep()


if __name__ == "__main__":
    main(*sys.argv[1:])
