"""The selection of a checkpoint by its loss on held-out judgments: a setting of the harness, equal for every method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.data import Relevance
from bench.data.parallel import parallel_groups
from bench.encoders.encoder import Encoder
from bench.training.losses import info_nce

POINTS = 10
"""The number of evaluations, evenly spaced over the budget; the last one is at its end."""
TEMPERATURE = 0.05


@dataclass
class Selection:
    """The weights with the lowest validation loss so far; none before the first evaluation."""

    losses: dict[int, float] = field(default_factory=dict)
    """Step -> validation loss."""
    weights: dict[str, Tensor] = field(default_factory=dict)
    _point: int = 0

    def due(self, share: float) -> bool:
        """Return whether this share of the budget reaches another point, and move on to it."""
        point = math.floor(share * POINTS + 1e-9)
        due, self._point = point > self._point, max(point, self._point)
        return due

    def add(self, step: int, loss: float, weights: Mapping[str, Tensor]) -> None:
        """Record a loss, and copy the weights if it is the lowest."""
        if all(loss < other for other in self.losses.values()):
            self.weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        self.losses[step] = loss

    def report(self) -> dict[str, Any]:
        """Return the selected `step` and all `losses`."""
        return {"step": min(self.losses, key=lambda step: self.losses[step]), "losses": self.losses}

    def state(self) -> dict[str, Tensor]:
        """Return everything as tensors, for a checkpoint."""
        if not self.losses:
            return {}
        figures = {
            "point": torch.tensor(self._point),
            "steps": torch.tensor(list(self.losses)),
            "losses": torch.tensor(list(self.losses.values()), dtype=torch.float64),
        }
        return figures | {f"weights.{name}": tensor for name, tensor in self.weights.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""
        if state:
            self._point = int(state["point"])
            self.losses = dict(zip(state["steps"].tolist(), state["losses"].tolist(), strict=True))
            self.weights = {name.removeprefix("weights."): state[name] for name in state if name.startswith("weights.")}


def validation_loss(student: Encoder, document_encoder: Encoder, validation: Relevance) -> float:
    """Return the InfoNCE of each validation query against all validation documents, with temperature 0.05.

    Rows of one parallel group are not negatives of each other.
    """
    queries = torch.from_numpy(student.encode(validation.queries, "query"))
    documents = torch.from_numpy(document_encoder.encode(validation.positives, "document"))
    groups = torch.from_numpy(parallel_groups(zip(validation.queries, validation.positives, strict=True)))
    return float(info_nce(queries, documents, TEMPERATURE, groups[:, None] == groups))
