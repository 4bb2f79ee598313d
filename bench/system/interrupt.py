"""Ctrl-C: no library can swallow it, and a training obeys it after the step, a second one at once."""

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
"""The interrupt of `remembered_interrupt`, within its block."""


@contextmanager
def handled_interrupts(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Let a function handle SIGINT within the block. Nothing changes if it is ignored, and outside the main thread."""
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
    """Let SIGINT raise KeyboardInterrupt as usual within the block, and remember it for `obey_interrupt`, because a
    library, or a method, may catch the exception and go on. Nothing changes if SIGINT is ignored or handled already.
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
    """Raise a KeyboardInterrupt that was swallowed."""
    if _remembered is not None:
        _remembered.obey()


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Let the first SIGINT within the block only set `requested`, and the next raise KeyboardInterrupt as usual. One
    that was swallowed before counts as requested.
    """
    interrupt, usual = _remembered or Interrupt(), signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, frame: object) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, usual)
        write_error("bench: finishing the step and saving; press Ctrl-C again to stop at once")

    with handled_interrupts(on_interrupt):
        yield interrupt
