"""What a user sees while work goes on: bars on a terminal, a few plain lines elsewhere. All of it goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_INTERVAL = 60.0
"""Seconds between two lines about the same stage where there is no terminal."""
FOUND = 1.0
"""Seconds in which a stage reports what it finds already done."""


class Stage(Protocol):
    """A piece of work that is under way."""

    def update(self, done: float, note: str = "") -> None:
        """Report that `done` of the total is done; `note` has figures such as the loss."""


class Display:
    """Bars if stderr is a terminal, else plain lines; with a `topic`, lines that begin with it, wherever they go."""

    def __init__(self, *, quiet: bool = False, topic: str = "") -> None:
        self.quiet = quiet
        self.prefix = f"{topic}: " if topic else ""
        self.interactive = sys.stderr.isatty() and not quiet and not topic

    def about(self, topic: str) -> Display:
        """The display of one of several processes, whose bars would overwrite each other."""
        return Display(quiet=self.quiet, topic=topic)

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """One line that stays, even if the display is quiet."""
        print(f"{self.prefix}{text}", file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, label: str, total: float, unit: str) -> Iterator[Stage]:
        """Show progress of `total` units of work until the block ends."""
        if not self.interactive:
            yield _PlainStage(self, label, total, unit)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            TextColumn("[dim]{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield _BarStage(progress, progress.add_task(label, total=total, unit=unit, note=""))


class _BarStage:
    def __init__(self, progress, task) -> None:  # type: ignore[no-untyped-def]
        self.progress, self.task = progress, task

    def update(self, done: float, note: str = "") -> None:
        self.progress.update(self.task, completed=done, note=note)


class _PlainStage:
    def __init__(self, display: Display, label: str, total: float, unit: str) -> None:
        self.display, self.label, self.total, self.unit = display, label, total, unit
        self.told = time.monotonic()
        self.began: float | None = None
        """When the first report came."""
        self.mark = (0.0, 0.0)
        """A moment, and what was done by then: the rate is that since. It is the last line's, and before there is one
        the first second's end, until which what is reported had been done before, by a call that was interrupted.
        """

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        if now - self.began < FOUND:
            self.mark = (now, done)
        if now - self.told < PLAIN_INTERVAL or done >= self.total:
            return
        since, before = self.mark
        note = f", {note}" if note else ""
        if done > before:
            left = (now - since) * (self.total - done) / (done - before)
            note += f", about {left:.0f} s left"
        self.display.say(f"  {self.label}: {done:,.0f}/{self.total:,.0f} {self.unit}{note}")
        self.told, self.mark = now, (now, done)
