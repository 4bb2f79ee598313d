"""Checkpoints of a training: all that its next step depends on, so that a resumed training is the same training."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bench.atomic import atomic_write
from bench.errors import CellFailed
from bench.training.budget import Spent

if TYPE_CHECKING:
    from bench.training.method import TrainedMethod
    from bench.training.selection import Selection

INTERVAL = 60.0
"""Seconds of training between two checkpoints."""


@dataclass
class Checkpoint:
    """One file that holds the latest state of a training: weights, optimiser, random generator and what was spent.

    The position in the data is the number of steps: batches are a function of the seed alone, so a resumed training
    skips as many.
    """

    path: Path
    interval: float = INTERVAL
    _saved: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        """Whether the interval has passed since the last one."""
        return time.monotonic() - self._saved >= self.interval

    def save(self, method: TrainedMethod, optimiser: torch.optim.Optimizer, spent: Spent, selection: Selection) -> None:
        """Replace the file by the state after `spent.steps` steps."""
        tensors = {name: tensor.contiguous() for name, tensor in weights(method).items()}
        for parameter, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{parameter}.{name}": value for name, value in state.items()}
        tensors |= {f"state.{name}": tensor.contiguous() for name, tensor in method.state().items()}
        tensors |= {f"selection.{name}": tensor.contiguous() for name, tensor in selection.state().items()}
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        with atomic_write(self.path, "wb") as file:
            file.write(save(tensors, metadata={"spent": json.dumps(asdict(spent))}))
        self._saved = time.monotonic()

    def restore(self, method: TrainedMethod, optimiser: torch.optim.Optimizer, selection: Selection) -> Spent:
        """Put the state back; returns what was spent by then, nothing where there is no file.

        Raises `CellFailed` if the file is damaged.
        """
        if not self.path.is_file():
            return Spent()
        try:
            return self._restore(method, optimiser, selection)
        except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CellFailed(f"the checkpoint {self.path} is damaged; delete it to train from the start") from error

    def _restore(self, method: TrainedMethod, optimiser: torch.optim.Optimizer, selection: Selection) -> Spent:
        with safe_open(self.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            spent = Spent(**json.loads(file.metadata()["spent"]))
        with torch.no_grad():
            for name, tensor in weights(method).items():
                tensor.copy_(tensors[name])
        state: dict[int, dict[str, Tensor]] = {}
        own: dict[str, dict[str, Tensor]] = {"state": {}, "selection": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimiser":
                parameter, _, key = rest.partition(".")
                state.setdefault(int(parameter), {})[key] = tensor
            elif kind in own:
                own[kind][rest] = tensor
        method.load_state(own["state"])
        selection.load_state(own["selection"])
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return spent


def weights(method: TrainedMethod) -> dict[str, Tensor]:
    """Every tensor of the student and of the method's other modules, by a name of its own."""
    modules = {"student": method.student, **{f"module{i}": module for i, (module, _) in enumerate(method.modules())}}
    return {
        f"{prefix}.{name}": tensor for prefix, module in modules.items() for name, tensor in module.state_dict().items()
    }
