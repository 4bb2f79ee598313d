"""Progress on stderr: bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_INTERVAL = 60.0
"""Seconds between two lines about the same stage if there is no terminal."""
FOUND = 1.0
"""Seconds in which a stage reports work that an earlier call had done."""


class Stage(Protocol):
    """Work that is under way."""

    def update(self, done: float, note: str = "") -> None:
        """Report the part of the total that is done; `note` has figures such as the loss."""


class Display:
    """Bars if stderr is a terminal, else plain lines; with a `topic`, always lines, which begin with it."""

    def __init__(self, *, quiet: bool = False, topic: str = "") -> None:
        self.quiet = quiet
        self.prefix = f"{topic}: " if topic else ""
        self.interactive = sys.stderr.isatty() and not quiet and not topic

    def about(self, topic: str) -> Display:
        """Return the display of one of several processes, whose bars would overwrite each other."""
        return Display(quiet=self.quiet, topic=topic)

    def say(self, text: str) -> None:
        """Print a line, unless the display is quiet."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a line, even if the display is quiet."""
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
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def update(self, done: float, note: str = "") -> None:
        self.progress.update(self.task, completed=done, note=note)


class _PlainStage:
    def __init__(self, display: Display, label: str, total: float, unit: str) -> None:
        self.display, self.label, self.total, self.unit = display, label, total, unit
        self.printed = time.monotonic()
        self.began: float | None = None
        """The time of the first report."""
        self.mark = (0.0, 0.0)
        """The time and the work done of the last line, or before it of the reports in the first `FOUND` seconds: the
        rate is measured since."""

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        if now - self.began < FOUND:
            self.mark = (now, done)
        if now - self.printed < PLAIN_INTERVAL or done >= self.total:
            return
        since, before = self.mark
        note = f", {note}" if note else ""
        if done > before:
            note += f", about {(now - since) * (self.total - done) / (done - before):.0f} s left"
        self.display.say(f"  {self.label}: {done:,.0f}/{self.total:,.0f} {self.unit}{note}")
        self.printed, self.mark = now, (now, done)
