"""Ctrl-C: no library can swallow it, and a training obeys it after the step, a second one at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


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
def remembered_interrupt() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt as usual within the block, and remember it for `obey_interrupt`, because a
    library, or a method, may catch the exception and go on.

    Nothing changes if the signal is ignored or has another handler, and outside the main thread.
    """
    global _remembered
    alone = threading.current_thread() is not threading.main_thread()
    if alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _remembered = interrupt = Interrupt()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        interrupt.requested = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        _remembered = None
        signal.signal(signal.SIGINT, signal.default_int_handler)


def obey_interrupt() -> None:
    """Raise a KeyboardInterrupt that was swallowed."""
    if _remembered is not None:
        _remembered.obey()


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Let the first SIGINT within the block only set `requested`, and the next raise KeyboardInterrupt as usual. One
    that was swallowed before counts as requested. Nothing changes outside the main thread.
    """
    interrupt = _remembered or Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    usual = signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, usual)
        print("bench: finishing the step and saving; press Ctrl-C again to stop at once", file=sys.stderr)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, usual)
