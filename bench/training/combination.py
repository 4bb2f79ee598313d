"""Combined methods: one student that minimises the weighted sum of several methods' losses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from bench.encoders.encoder import Encoder
from bench.training.budget import Spent
from bench.training.method import Batch, Task, TrainedMethod


class Combination(TrainedMethod):
    """Several trained methods as one.

    Every step has a batch of each part, which are given equal shares of the batch size, so that a combination reads
    about as much in a step as each of its parts would alone. All parts are configured with the same encoder of
    documents. Figures and diagnostics have the part's name before theirs.
    """

    def __init__(self, parts: Sequence[TrainedMethod], names: Sequence[str]) -> None:
        if len({part.config.documents for part in parts}) > 1:
            raise ValueError("combined methods differ in who encodes documents")
        super().__init__(parts[0].config)
        self.parts = dict(zip(names, parts, strict=True))

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        share = max(task.recipe.batch_size // len(self.parts), 1)
        smaller = replace(task, recipe=task.recipe.model_copy(update={"batch_size": share}))
        for part in self.parts.values():
            part.prepare(smaller, student)

    def modules(self) -> list[tuple[nn.Module, float]]:
        return [module for part in self.parts.values() for module in part.modules()]

    def refresh(self, spent: Spent) -> None:
        for part in self.parts.values():
            part.refresh(spent)

    def state(self) -> dict[str, Tensor]:
        return _prefixed({name: part.state() for name, part in self.parts.items()})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            part.load_state(_of(name, state))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        streams = {
            name: part.batches(child)
            for (name, part), child in zip(self.parts.items(), rng.spawn(len(self.parts)), strict=True)
        }
        # Begun here and not at the first batch: a part may look ahead in its stream before that.
        return (_prefixed({name: next(stream) for name, stream in streams.items()}) for _ in itertools.count())

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        total: Any = 0.0
        figures: dict[str, dict[str, float]] = {}
        for name, part in self.parts.items():
            loss, own = part.loss(_of(name, batch), progress)
            total = total + part.config.weight * loss
            figures[name] = {"loss": float(loss.detach()), **own}
        return total, _prefixed(figures)

    def diagnose(self) -> dict[str, Any]:
        return _prefixed({name: part.diagnose() for name, part in self.parts.items()})


def _prefixed(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{name}.{key}": value for name, values in groups.items() for key, value in values.items()}


def _of(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with a name before theirs, without it."""
    return {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}
