"""Limits and records of work in progress: the log of a training, its budget, its progress, and how long it may be
silent.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from bench.errors import CellFailed
from bench.progress import Display
from bench.recipe import Budget, Spent
from bench.running.energy import Meter
from bench.storage.sealed import remove
from bench.system import processes

REPEAT = 60.0
"""Seconds between two interruptions of work that catches even a `BaseException`."""


class GivenUp(BaseException):
    """Interrupts work that was silent for too long; no `except Exception` in it catches this."""


@contextmanager
def watchdog(timeout: float) -> Iterator[Callable[[], None]]:
    """Raise `CellFailed` if the block does not call the function it is given for `timeout` seconds.

    It interrupts Python code and system calls, but no library routine that never returns to Python. Outside the main
    thread, and on systems without SIGALRM, there is no limit. In a `Worker` each call is also a sign of life to the
    process that waits for it, which kills what cannot be interrupted.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield processes.alive
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise GivenUp

    def alive() -> None:
        processes.alive()
        signal.setitimer(signal.ITIMER_REAL, timeout, REPEAT)

    usual = signal.signal(signal.SIGALRM, give_up)
    try:
        try:
            alive()
            yield alive
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except GivenUp as error:
        raise processes.silence(timeout) from error
    finally:
        signal.signal(signal.SIGALRM, usual)


class TrainingCallbacks:
    """Watches one training; its `on_step` and `on_resume` are those of the training's task."""

    def __init__(
        self, label: str, log: Path, budget: Budget, timeout: float, display: Display, meter: Meter | None = None
    ) -> None:
        self.label, self.log, self.budget, self.timeout, self.display = label, log, budget, timeout, display
        self.meter = meter or Meter(False)
        self._reached = Spent()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Log, show and meter the steps of the block. Raises `CellFailed` if none comes for too long."""
        if self.log.is_dir():
            remove(self.log)
        with (
            self.log.open("a", encoding="utf-8", buffering=1) as self._file,
            self.display.stage(f"{self.label}: training", self.budget.amount, self.budget.unit) as self._stage,
            watchdog(self.timeout) as self._alive,
            self.meter,
        ):
            self._started, self._cpu_started = time.perf_counter(), time.process_time()
            yield

    @property
    def seconds(self) -> float:
        """The duration of the training, in all processes that worked on it."""
        return time.perf_counter() - self._started

    @property
    def cpu_seconds(self) -> float:
        """The processor time of the training, of all threads and processes together."""
        return time.process_time() - self._cpu_started

    def on_step(self, record: dict[str, Any]) -> None:
        """Log a step. Raises `CellFailed` for a step beyond the budget.

        A budget in seconds has leeway for work besides training: it may take twice as long and `timeout` more.
        """
        if self._reached.share(self.budget) == 1:
            raise CellFailed(f"it made a step after its budget of {self.budget} was spent, so it was stopped")
        self._reached = Spent(record["step"], record.get("tokens", 0), (self.seconds - self.timeout) / 2)
        self._alive()
        self._file.write(json.dumps(record) + "\n")
        note = f"step {record['step']:,}, loss {record['loss']:.4f}"
        self._stage.update(record["share"] * self.budget.amount, note)
        self.meter.tick()

    def on_resume(self, steps: int) -> None:
        """Continue from a checkpoint after `steps` steps; the log was verified and has no line beyond them."""
        if steps:
            spent = json.loads(self.log.read_text(encoding="utf-8").splitlines()[-1])
            self._started -= spent["seconds"]
            self._cpu_started -= spent["cpu_seconds"]
            self.display.say(f"{self.label}: going on from step {steps:,}")
            self.meter.spoil("the training was resumed")
