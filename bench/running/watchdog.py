"""A limit on silence: work that shows no sign of life for too long is given up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bench import processes

REPEAT = 60.0
"""Seconds after which work that swallowed even a `BaseException` is told again."""


class GivenUp(BaseException):
    """Ends the work; no `except Exception` in it stops this."""


@contextmanager
def watchdog(patience: float) -> Iterator[Callable[[], None]]:
    """Raise `CellFailed` within the block when its work did not call the function it is given for `patience` seconds.

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
        signal.setitimer(signal.ITIMER_REAL, patience, REPEAT)

    usual = signal.signal(signal.SIGALRM, give_up)
    try:
        try:
            alive()
            yield alive
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except GivenUp as error:
        raise processes.silence(patience) from error
    finally:
        signal.signal(signal.SIGALRM, usual)
