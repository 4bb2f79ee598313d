"""Ctrl-C: never lost in a library, and while a training runs obeyed after the step, a second time at once."""

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
    """Whether an interrupt was asked for."""

    requested: bool = False
    watched: bool = False
    """True within `remembered_interrupt`, which resets `requested` at its end."""

    def obey(self) -> None:
        """Raise KeyboardInterrupt if one was."""
        if self.requested:
            raise KeyboardInterrupt


_remembered = Interrupt()
"""That of `remembered_interrupt`."""


@contextmanager
def remembered_interrupt() -> Iterator[None]:
    """Within the block SIGINT raises KeyboardInterrupt as usual, and is remembered for `obey_interrupt`, because a
    library, or a method, may catch whatever is raised in it and go on.

    Where something else handles the signal, or it is ignored, and outside the main thread, nothing changes.
    """
    alone = threading.current_thread() is not threading.main_thread()
    if alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        _remembered.requested = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    _remembered.watched = True
    try:
        yield
    finally:
        _remembered.requested = _remembered.watched = False
        signal.signal(signal.SIGINT, signal.default_int_handler)


def obey_interrupt() -> None:
    """Raise the KeyboardInterrupt that somebody swallowed."""
    _remembered.obey()


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Within the block the first SIGINT only sets `requested`; the next raises KeyboardInterrupt as usual. One that
    was swallowed before counts as asked for.

    Outside the main thread, where signals cannot be handled, nothing changes.
    """
    interrupt = Interrupt(_remembered.requested)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    usual = signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        interrupt.requested = True
        _remembered.requested = _remembered.watched
        signal.signal(signal.SIGINT, usual)
        print("bench: finishing the step and saving; press Ctrl-C again to stop at once", file=sys.stderr)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, usual)
