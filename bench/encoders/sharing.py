"""One training on several devices, with a process for each.

All processes run the same method on the same batches, and each encodes its share of the texts of a batch. The hidden
states are then exchanged, so that every process computes the loss of the whole batch, whatever the method's loss is.
The gradients of the student are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_sharing = False


@contextmanager
def joined(place: str, rank: int, size: int, kind: str, timeout: float) -> Iterator[None]:
    """Be process `rank` of `size` within the block. `place` is the URL of a new file that all of them can read."""
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, place, timedelta(seconds=timeout), rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def shared() -> Iterator[None]:
    """Divide the texts that are encoded within the block among the processes, if there are several."""
    global _sharing
    _sharing = dist.is_initialized()
    try:
        yield
    finally:
        _sharing = False


def share() -> tuple[int, int]:
    """Return the number of this process and of all processes that share the work: 0 and 1 if none is shared."""
    return (dist.get_rank(), dist.get_world_size()) if _sharing else (0, 1)


def exchange(hidden: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes; its gradient flows to the tensor of this one alone."""
    total: Tensor = _Exchange.apply(hidden)
    return total


def add_gradients(student: nn.Module, *others: nn.Module) -> None:
    """Add the gradients of the student over all processes. Those of other modules, which read the whole batch
    everywhere, are averaged, so that rounding does not drive the processes apart.
    """
    if not dist.is_initialized():
        return
    parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
    read = torch.tensor([float(each.grad is not None) for each in parameters], device=parameters[0].device)
    dist.all_reduce(read)
    for parameter, count in zip(parameters, read.tolist(), strict=True):
        if count:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
    for module in others:
        for parameter in module.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, hidden: Tensor) -> Tensor:
        total = hidden.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient
