"""Checkpoints: the state that the next step of a training depends on, so that a resumed training ends the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.errors import describe
from bench.recipe import Spent
from bench.storage.hashing import digest_bytes
from bench.storage.sealed import Damaged, read_sealed, remove, write_sealed

INTERVAL = 60.0
"""Seconds of training between two checkpoints."""


@dataclass
class Checkpoint:
    """A file with the latest state of a training: tensors by name, and what was spent.

    Batches depend on the seed alone, so a resumed training skips as many of them as there were steps.
    """

    path: Path
    interval: float = INTERVAL
    log: Path | None = None
    """The training's log, with one line per step; it is cut down to the checkpoint when the state is loaded."""
    on_damage: Callable[[str], None] = lambda text: None
    _saved: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        return time.monotonic() - self._saved >= self.interval

    def save(self, state: Mapping[str, Tensor], spent: Spent) -> None:
        """Replace the file by the state after `spent.steps` steps."""
        log = self.log.read_bytes() if self.log and self.log.is_file() else b""
        about = json.dumps({"spent": asdict(spent), "log": [len(log), digest_bytes(log)]})
        tensors = {name: tensor.contiguous() for name, tensor in state.items()}
        tensors["about"] = torch.frombuffer(bytearray(about.encode()), dtype=torch.uint8)
        write_sealed(self.path, save(tensors))
        self._saved = time.monotonic()

    def load(self) -> tuple[dict[str, Tensor], Spent]:
        """Return the stored state and what was spent, and cut the log down to it.

        Without a checkpoint, or if it or the log is damaged, the state is empty, and so becomes the log.
        """
        state: dict[str, Tensor] = {}
        spent, size = Spent(), 0
        if self.path.exists():
            try:
                tensors = load(read_sealed(self.path))
                about = json.loads(bytes(tensors.pop("about").tolist()))
                length, expected = about["log"]
                log = self.log.read_bytes()[:length] if self.log and length else b""
                if self.log and digest_bytes(log) != expected:
                    raise Damaged(f"{self.log} is damaged")
                state, spent, size = tensors, Spent(**about["spent"]), length
            except (Damaged, OSError) as error:
                self.on_damage(f"{describe(error)}; it starts again")
                remove(self.path)
        if self.log and self.log.is_file():
            os.truncate(self.log, size)
        return state, spent
