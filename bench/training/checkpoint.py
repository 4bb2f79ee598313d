"""Checkpoints of a training: all that its next step depends on, so that a resumed training is the same training."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.errors import describe
from bench.fingerprint import digest_bytes
from bench.sealed import Damaged, read_sealed, remove, write_sealed
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
    log: Path | None = None
    """The training's log, which must be as it was at the checkpoint for the training to go on from there."""
    on_damage: Callable[[str], None] = lambda text: None
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
        log = self.log.read_bytes() if self.log and self.log.is_file() else b""
        about = {"spent": asdict(spent), "log": [len(log), digest_bytes(log)]}
        tensors["about"] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
        write_sealed(self.path, save(tensors))
        self._saved = time.monotonic()

    def restore(self, method: TrainedMethod, optimiser: torch.optim.Optimizer, selection: Selection) -> Spent:
        """Put the state back and cut the log down to it; return what was spent by then.

        Where there is no checkpoint, or it or the log is damaged, nothing is spent and the log is emptied.
        """
        if not self.path.exists():
            self._cut(0)
            return Spent()
        try:
            tensors = load(read_sealed(self.path))
            about = json.loads(bytes(tensors.pop("about").tolist()))
            size, expected = about["log"]
            log = self.log.read_bytes()[:size] if self.log and size else b""
            if digest_bytes(log) != expected and self.log:
                raise Damaged(f"{self.log} is damaged")
        except (Damaged, OSError) as error:
            self.on_damage(f"{describe(error)}; it starts again")
            remove(self.path)
            self._cut(0)
            return Spent()
        self._cut(size)
        self._restore(tensors, method, optimiser, selection)
        return Spent(**about["spent"])

    def _cut(self, size: int) -> None:
        """Cut the log down: what it has beyond the checkpoint never happened."""
        if self.log and self.log.is_file():
            os.truncate(self.log, size)

    @staticmethod
    def _restore(
        tensors: Mapping[str, Tensor], method: TrainedMethod, optimiser: torch.optim.Optimizer, selection: Selection
    ) -> None:
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


def weights(method: TrainedMethod) -> dict[str, Tensor]:
    """Every tensor of the student and of the method's other modules, by a name of its own."""
    modules = {"student": method.student, **{f"module{i}": module for i, (module, _) in enumerate(method.modules())}}
    return {
        f"{prefix}.{name}": tensor for prefix, module in modules.items() for name, tensor in module.state_dict().items()
    }
