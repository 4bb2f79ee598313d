"""Combined methods: one student that minimises the weighted sum of several methods' losses."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from bench.encoders.encoder import Encoder
from bench.recipe import SHARED, Spent
from bench.training.loop import Batch, TrainedMethod, prefixed, without_prefix
from bench.training.method import Task


class Combination(TrainedMethod):
    """Several trained methods as one.

    Every step has a batch of each part, of the recipe's size. With `recipe.combined_batches=same` parts that sample the
    same data read the same examples. With `split` they read others, and share the batch size equally. All parts have
    the same encoder of documents and factor on learning rates. Figures and diagnostics are prefixed with the part's
    name.
    """

    def __init__(self, parts: Sequence[TrainedMethod], names: Sequence[str]) -> None:
        for name in SHARED:
            if len({getattr(part.config, name) for part in parts}) > 1:
                raise ValueError(f"combined methods differ in {name}")
        super().__init__(parts[0].config)
        self.parts = dict(zip(names, parts, strict=True))

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        if task.recipe.combined_batches == "split":
            share = max(task.recipe.batch_size // len(self.parts), 1)
            task = replace(task, recipe=task.recipe.model_copy(update={"batch_size": share}))
        for part in self.parts.values():
            part.prepare(task, student)

    def modules(self) -> list[tuple[nn.Module, float]]:
        return [module for part in self.parts.values() for module in part.modules()]

    def on_step_start(self, spent: Spent) -> None:
        for part in self.parts.values():
            part.on_step_start(spent)

    def state(self) -> dict[str, Tensor]:
        return prefixed({name: part.state() for name, part in self.parts.items()})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            part.load_state(without_prefix(name, state))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        split = self.task.recipe.combined_batches == "split"
        generators = rng.spawn(len(self.parts)) if split else [copy.deepcopy(rng) for _ in self.parts]
        parts = zip(self.parts.items(), generators, strict=True)
        streams = {name: part.batches(generator) for (name, part), generator in parts}
        # The streams begin here and not at the first batch, because a part may look ahead in its stream before that.
        return (prefixed({name: next(stream) for name, stream in streams.items()}) for _ in itertools.count())

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        total: Any = 0.0
        figures: dict[str, dict[str, float]] = {}
        for name, part in self.parts.items():
            loss, own = part.loss(without_prefix(name, batch), progress)
            total = total + part.config.weight * loss
            figures[name] = {"loss": float(loss.detach()), **own}
        return total, prefixed(figures)

    def bitext_rows(self, batch: Batch) -> np.ndarray:
        return np.concatenate([part.bitext_rows(without_prefix(name, batch)) for name, part in self.parts.items()])

    def diagnose(self) -> dict[str, Any]:
        return prefixed({name: part.diagnose() for name, part in self.parts.items()})
