"""Progress on stderr: bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from bench.terminal import one_line, write_error

PLAIN_INTERVAL = 60.0
"""Seconds between two lines of a stage without a terminal."""
RATE_PERIOD = 50.0
"""Seconds over which the rate of work is measured, so that resumed work does not count."""


class Display:
    """Progress bars if stderr is a terminal, or else plain lines that begin with `topic`."""

    def __init__(self, *, quiet: bool = False, topic: str = "", bars: bool = True) -> None:
        self.quiet = quiet
        self.prefix = f"{topic}: " if topic else ""
        self.interactive = bars and sys.stderr.isatty() and not quiet

    def about(self, topic: str) -> Display:
        """Return a display without bars for one of several processes, since bars would overwrite each other."""
        return Display(quiet=self.quiet, topic=topic, bars=False)

    def say(self, *lines: str) -> None:
        """Print lines, unless the display is quiet."""
        if not self.quiet:
            self.warn(*lines)

    def warn(self, *lines: str) -> None:
        """Print lines, even if the display is quiet."""
        for line in lines:
            write_error(f"{self.prefix}{line}")

    @contextmanager
    def stage(self, label: str, total: float, unit: str) -> Iterator[Callable[..., None]]:
        """Show progress of `total` units of work until the block ends.

        The block calls the returned function with the number of finished units, and a note such as the loss.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=RATE_PERIOD,
            get_time=time.monotonic,
        )
        progress.add_task(one_line(label), total=total, unit=unit, note="")
        task, printed = progress.tasks[0], time.monotonic()

        def update(done: float, note: str = "") -> None:
            nonlocal printed
            progress.update(task.id, completed=done, note=note)
            now = time.monotonic()
            if not (self.interactive or now - printed < PLAIN_INTERVAL or task.finished):
                left = f"about {task.time_remaining:.0f} s left" if task.time_remaining is not None else ""
                self.say("  " + ", ".join(filter(None, (f"{label}: {done:,.0f}/{total:,.0f} {unit}", note, left))))
                printed = now

        with progress if self.interactive else nullcontext():
            yield update
