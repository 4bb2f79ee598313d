"""Time limits and the log of a training."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from bench.errors import CellFailed
from bench.progress import Display
from bench.recipe import Spent
from bench.running.cost import Meter
from bench.system import processes

if TYPE_CHECKING:
    from bench.training.method import Task


class GivenUp(BaseException):
    """The exception that interrupts work without progress. `except Exception` does not catch it."""


@contextmanager
def watchdog(timeout: float) -> Iterator[Callable[[], None]]:
    """Raise `CellFailed` if the block does not call the returned function for `timeout` seconds.

    This interrupts Python code and system calls, in the main thread only. In a `Worker`, a call also reports progress
    to its caller.
    """
    if threading.current_thread() is not threading.main_thread():
        yield processes.alive
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise GivenUp

    def alive() -> None:
        processes.alive()
        signal.setitimer(signal.ITIMER_REAL, timeout)

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


@contextmanager
def watched(task: Task, label: str, log: Path, timeout: float, display: Display, meter: Meter) -> Iterator[None]:
    """Log, show, limit and meter the steps of a training within the block.

    Raises `CellFailed` after `timeout` seconds without a step, and for a step beyond the budget. A budget in seconds
    has a margin for other work.
    """
    budget, reached = task.budget, Spent()
    with (
        log.open("a", encoding="utf-8", buffering=1) as file,
        display.stage(f"{label}: training", budget.amount, budget.unit) as stage,
        watchdog(timeout) as alive,
        meter,
    ):

        def on_step(record: dict[str, Any]) -> None:
            nonlocal reached
            if reached.share(budget) == 1:
                raise CellFailed(f"stopped, since it made a step after its budget of {budget}")
            counted = {name: record.get(name, 0) for name in ("tokens", "examples", "cpu_seconds")}
            reached = Spent(record["step"], seconds=(meter.seconds - timeout) / 2, **counted)
            alive()
            file.write(json.dumps(record) + "\n")
            stage(record["share"] * budget.amount, f"step {record['step']:,}, loss {record['loss']:.4f}")
            meter.tick()

        def on_resume(steps: int) -> None:
            if steps:  # the verified log has no line beyond them
                spent = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
                meter.resume(spent["seconds"], spent["cpu_seconds"])
                display.say(f"{label}: continuing from step {steps:,}")

        task.on_step, task.on_resume = on_step, on_resume
        yield
