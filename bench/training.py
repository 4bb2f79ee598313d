"""The training loop: one for every method, so that optimiser, schedule, precision and budget are the same for all."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.budget import Spent
from bench.encoders import Encoder
from bench.errors import CellFailed
from bench.recipe import Recipe

if TYPE_CHECKING:
    from bench.method import Task, TrainedMethod


def train(method: TrainedMethod, task: Task) -> Spent:
    """Minimise `method.loss` until the budget is spent; returns what was spent.

    Raises `CellFailed` when the loss or a gradient is no longer a number.
    """
    student, budget, recipe = method.student, task.budget, task.recipe
    torch.manual_seed(task.seed)  # dropout draws from torch's global generator
    student.train()
    optimiser = make_optimiser(method, recipe)
    base_rates = [group["lr"] for group in optimiser.param_groups]
    # Each module is clipped by its own norm, so that a discriminator's gradient never shortens the student's.
    modules = [student, *(module for module, _ in method.modules())]
    spent = Spent()
    read_before, started = student.tokens_seen, time.perf_counter()
    for batch in method.batches(task.numpy_generator("batches")):
        progress = spent.share(budget)
        for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
            group["lr"] = rate * learning_rate_factor(progress, recipe.warmup)
        with autocast(student.device, task.precision):
            loss, figures = method.loss(batch, progress)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norms = [nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm) for module in modules]
        value, gradient_norm = float(loss.detach()), float(norms[0])
        if not all(math.isfinite(number) for number in (value, *map(float, norms))):
            raise CellFailed(
                f"the loss is {value:g} and its gradient's norm {gradient_norm:g} at step {spent.steps + 1}; "
                "a lower learning rate or float32 may cure it"
            )
        optimiser.step()
        spent.steps += 1
        spent.tokens = student.tokens_seen - read_before
        spent.seconds = time.perf_counter() - started
        task.on_step(
            {
                "step": spent.steps,
                "loss": value,
                "share": spent.share(budget),
                "gradient_norm": gradient_norm,
                "learning_rate": optimiser.param_groups[0]["lr"],
                "tokens": spent.tokens,
                "seconds": round(spent.seconds, 3),
                **figures,
            }
        )
        if spent.share(budget) >= 1:
            break
    student.eval()
    return spent


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


def fast_precision(device: torch.device) -> str:
    """`bfloat16` where the processor or GPU multiplies it natively, else `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"
