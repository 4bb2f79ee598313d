"""Choosing a checkpoint by its loss on held-out judgments: a setting of the harness, equal for every method."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.data import Relevance
from bench.data.parallel import parallel_groups
from bench.training.budget import Budget, Spent
from bench.training.checkpoint import weights
from bench.training.losses import info_nce

if TYPE_CHECKING:
    from bench.training.method import TrainedMethod

POINTS = 10
"""How many times the loss is looked at, evenly spaced over the budget; the last time at its end."""
TEMPERATURE = 0.05


@dataclass
class Selection:
    """The best weights of a training so far; none are kept where there are no `validation` judgments."""

    validation: Relevance
    losses: dict[int, float] = field(default_factory=dict)
    """By step: InfoNCE of each validation query against all validation documents."""
    _reached: int = 0
    _best: dict[str, Tensor] = field(default_factory=dict)

    def look(self, method: TrainedMethod, spent: Spent, budget: Budget) -> None:
        """Where the next point is reached, compute the loss, and keep the weights if they are the best."""
        point = math.floor(spent.share(budget) * POINTS + 1e-9)
        if not len(self.validation) or point <= self._reached:
            return
        started = time.perf_counter()
        self._reached = point
        loss = validation_loss(method, self.validation)
        if all(loss < other for other in self.losses.values()):
            self._best = {name: tensor.detach().clone() for name, tensor in weights(method).items()}
        self.losses[spent.steps] = loss
        spent.validation_seconds += time.perf_counter() - started

    def restore(self, method: TrainedMethod) -> dict[str, Any]:
        """Put the best weights back; returns `step`, that they are of, and all `losses`; nothing if none were kept."""
        if not self._best:
            return {}
        with torch.no_grad():
            for name, tensor in weights(method).items():
                tensor.copy_(self._best[name])
        return {"step": min(self.losses, key=lambda step: self.losses[step]), "losses": self.losses}

    def state(self) -> dict[str, Tensor]:
        """All of it, for a checkpoint."""
        if not self.losses:
            return {}
        figures = {
            "reached": torch.tensor(self._reached),
            "steps": torch.tensor(list(self.losses)),
            "losses": torch.tensor(list(self.losses.values()), dtype=torch.float64),
        }
        return {**figures, **{f"best.{name}": tensor for name, tensor in self._best.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""
        if state:
            self._reached = int(state["reached"])
            self.losses = dict(zip(state["steps"].tolist(), state["losses"].tolist(), strict=True))
            best = {name.removeprefix("best."): tensor for name, tensor in state.items() if name.startswith("best.")}
            self._best = best


def validation_loss(method: TrainedMethod, validation: Relevance) -> float:
    """InfoNCE of the queries, by the student, against the documents, by whatever encodes them; its temperature is 0.05.

    Rows of one parallel group are no negatives of each other.
    """
    queries = torch.from_numpy(method.student.encode(validation.queries, "query"))
    documents = torch.from_numpy(method.document_encoder.encode(validation.positives, "document"))
    groups = torch.from_numpy(parallel_groups(zip(validation.queries, validation.positives, strict=True)))
    return float(info_nce(queries, documents, TEMPERATURE, groups[:, None] == groups))
