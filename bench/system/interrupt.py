"""Ctrl-C. The first ends a training after its step, the second at once, also if a library catches the exception."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.terminal import write_error


@dataclass
class Interrupt:
    requested: bool = False

    def obey(self) -> None:
        """Raise KeyboardInterrupt if one was requested."""
        if self.requested:
            raise KeyboardInterrupt


_remembered: Interrupt | None = None
"""The interrupt of the current `remembered_interrupt`."""


@contextmanager
def handled_interrupts(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Handle SIGINT with a function within the block, unless SIGINT is ignored or this is not the main thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return
    usual = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def remembered_interrupt() -> Iterator[None]:
    """Remember a SIGINT within the block for `obey_interrupt`, since a library or a method may catch KeyboardInterrupt.

    Nothing changes if SIGINT is ignored or handled already.
    """
    global _remembered
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _remembered = interrupt = Interrupt()

    def on_interrupt(number: int, frame: object) -> None:
        interrupt.requested = True
        raise KeyboardInterrupt

    try:
        with handled_interrupts(on_interrupt):
            yield
    finally:
        _remembered = None


def obey_interrupt() -> None:
    """Raise KeyboardInterrupt if one was requested and caught elsewhere."""
    if _remembered is not None:
        _remembered.obey()


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Set `requested` at the first SIGINT within the block, and raise KeyboardInterrupt at the next.

    An earlier interrupt that was caught elsewhere counts as requested.
    """
    interrupt, usual = _remembered or Interrupt(), signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, frame: object) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, usual)
        write_error("bench: finishing the step and saving; press Ctrl-C again to stop at once")

    with handled_interrupts(on_interrupt):
        yield interrupt
