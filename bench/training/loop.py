"""The training loop: one for every method, so that optimiser, schedule, precision and budget are the same for all."""

from __future__ import annotations

import math
import time
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.encoders.encoder import Encoder
from bench.errors import CellFailed
from bench.interrupt import deferred_interrupt
from bench.training.budget import Spent
from bench.training.recipe import Recipe
from bench.training.selection import Selection

if TYPE_CHECKING:
    from bench.training.method import Batch, Task, TrainedMethod


def train(method: TrainedMethod, task: Task) -> Spent:
    """Minimise `method.loss` until the budget is spent; returns what was spent.

    Goes on from the task's checkpoint where there is one, and where the data have validation judgments ends with the
    weights that did best on them. Raises `CellFailed` when the loss or a gradient is no longer a number, and
    KeyboardInterrupt, after saving, at the end of the step during which Ctrl-C was pressed.
    """
    student, budget, checkpoint = method.student, task.budget, task.checkpoint
    torch.manual_seed(task.seed)  # dropout draws from torch's global generator
    student.train()
    optimiser = make_optimiser(method, task.recipe)
    base_rates = [group["lr"] for group in optimiser.param_groups]
    selection = Selection(task.data.validation)
    spent = checkpoint.restore(method, optimiser, selection) if checkpoint else Spent()
    task.on_resume(spent.steps)
    tokens_before, started = student.tokens_seen - spent.tokens, time.perf_counter() - spent.seconds
    cpu_started = time.process_time() - spent.cpu_seconds

    def count() -> None:
        spent.tokens = student.tokens_seen - tokens_before
        spent.seconds = time.perf_counter() - started
        spent.cpu_seconds = time.process_time() - cpu_started

    batches = islice(method.batches(task.numpy_generator("batches")), spent.steps, None)
    with deferred_interrupt() as interrupt:
        while spent.share(budget) < 1:
            method.refresh(spent)
            for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
                group["lr"] = rate * learning_rate_factor(spent.share(budget), task.recipe.warmup)
            figures = optimise(method, optimiser, next(batches), spent, task)
            spent.steps += 1
            count()
            selection.look(method, spent, budget)
            count()
            task.on_step(
                {
                    "step": spent.steps,
                    "share": spent.share(budget),
                    "learning_rate": optimiser.param_groups[0]["lr"],
                    "tokens": spent.tokens,
                    "seconds": round(spent.seconds, 3),
                    "cpu_seconds": round(spent.cpu_seconds, 3),
                    **figures,
                }
            )
            if checkpoint and (checkpoint.due or interrupt.requested):
                checkpoint.save(method, optimiser, spent, selection)
            interrupt.obey()
    student.eval()
    if chosen := selection.restore(method):
        task.outcome["selection"] = chosen
    return spent


def optimise(
    method: TrainedMethod, optimiser: torch.optim.Optimizer, batch: Batch, spent: Spent, task: Task
) -> dict[str, float]:
    """One step: loss, gradient, clipping, update; returns the figures for the log.

    Each module is clipped by its own norm, so that a discriminator's gradient never shortens the student's.
    """
    with autocast(method.student.device, task.precision):
        loss, figures = method.loss(batch, spent.share(task.budget))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    modules = [method.student, *(module for module, _ in method.modules())]
    norms = [float(nn.utils.clip_grad_norm_(module.parameters(), task.recipe.clip_norm)) for module in modules]
    value = float(loss.detach())
    if not all(math.isfinite(number) for number in (value, *norms)):
        raise CellFailed(
            f"the loss is {value:g} and its gradient's norm {max(norms):g} at step {spent.steps + 1}; "
            "a lower learning rate or float32 may cure it"
        )
    optimiser.step()
    return {"loss": value, "gradient_norm": norms[0], **figures}


def make_optimiser(method: TrainedMethod, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with separate groups for weights, undecayed weights, word embeddings and each extra module."""
    embeddings = method.student.word_embeddings.weight
    decayed, plain = split_by_decay(method.student, embeddings)
    groups = [
        {"params": decayed, "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay},
        {"params": plain, "lr": recipe.learning_rate, "weight_decay": 0.0},
        {"params": [embeddings], "lr": recipe.embedding_learning_rate, "weight_decay": 0.0},
    ]
    for module, rate in method.modules():
        groups.append({"params": list(module.parameters()), "lr": rate, "weight_decay": recipe.weight_decay})
    return torch.optim.AdamW(groups)


def split_by_decay(student: Encoder, embeddings: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The student's trainable parameters but for `embeddings`: matrices, and biases with normalisation weights."""
    rest = [p for p in student.parameters() if p.requires_grad and p is not embeddings]
    return [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Linear warm-up over the share `warmup` of the budget, then linear decay to zero; never zero at the first step."""
    if progress < warmup:
        # With a budget in tokens or seconds the first steps' share is not known in advance.
        return max(progress / warmup, 0.01)
    return max((1 - progress) / max(1 - warmup, 1e-9), 0.0)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of forward passes: bfloat16 where asked for, else float32 throughout."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
