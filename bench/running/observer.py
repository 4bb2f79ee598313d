"""What the harness does at every step of a training: it keeps the log, shows progress, watches budget and clock."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import CellFailed
from bench.progress import Display
from bench.running.watchdog import watchdog
from bench.sealed import remove
from bench.training.budget import Budget, Spent


@dataclass
class Observer:
    """Watches one training; its `on_step` and `on_resume` are those of the training's task."""

    label: str
    log: Path
    budget: Budget
    patience: float
    display: Display
    started: float = field(default_factory=time.perf_counter)
    cpu_started: float = field(default_factory=time.process_time)
    _reached: Spent = field(default_factory=Spent)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block steps are logged and shown. Raises `CellFailed` if none comes for too long."""
        budget = self.budget
        if self.log.is_dir():
            remove(self.log)
        with (
            self.log.open("a", encoding="utf-8", buffering=1) as self._file,
            self.display.stage(f"{self.label}: training", budget.amount, budget.unit) as self._stage,
            watchdog(self.patience) as self._alive,
        ):
            self.started, self.cpu_started = time.perf_counter(), time.process_time()
            yield

    @property
    def seconds(self) -> float:
        """The time that the training has taken, in all processes that worked on it."""
        return time.perf_counter() - self.started

    @property
    def cpu_seconds(self) -> float:
        """The processor's time in them, of all threads together."""
        return time.process_time() - self.cpu_started

    def on_step(self, record: dict[str, Any]) -> None:
        """Raises `CellFailed` for a step beyond the budget; one in seconds has leeway for what is done besides."""
        if self._reached.share(self.budget) == 1:
            raise CellFailed(f"it goes on although its budget of {self.budget} is spent, so it was stopped")
        self._reached = Spent(record["step"], record.get("tokens", 0), (self.seconds - self.patience) / 2)
        self._alive()
        self._file.write(json.dumps(record) + "\n")
        note = f"step {record['step']:,}, loss {record['loss']:.4f}"
        self._stage.update(record["share"] * self.budget.amount, note)

    def on_resume(self, steps: int) -> None:
        """Go on from a checkpoint after so many steps; the log has no line beyond them, and was verified."""
        if steps:
            spent = json.loads(self.log.read_text(encoding="utf-8").splitlines()[-1])
            self.started -= spent["seconds"]
            self.cpu_started -= spent["cpu_seconds"]
            self.display.say(f"{self.label}: going on from step {steps:,}")
