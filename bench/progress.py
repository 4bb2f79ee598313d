"""Progress on stderr: two bars on a terminal or in a notebook, or else a line at least every 30 seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from bench.terminal import one_line, write_error

INTERVAL = 30.0
"""Seconds without a line after which progress is printed, for each job that runs at the same time."""
RATE_PERIOD = 50.0
"""Seconds over which the rate of work is measured, so that resumed work does not count."""


@dataclass
class Run:
    """The progress of a call. Cells of the same kind are expected to take the same time."""

    waiting: Counter[str]
    """The unfinished cells of each kind."""
    jobs: int = 1
    total: int = 0
    spent: dict[str, float] = field(default_factory=partial(defaultdict, float))
    """Seconds of the computed cells of each kind."""
    computed: Counter[str] = field(default_factory=Counter)
    started: tuple[str, int, float] | None = None
    """The kind, number of cells and start of the job in progress, if there is one at a time."""

    def __post_init__(self) -> None:
        self.total = self.waiting.total()

    def finish(self, kind: str, cells: int, computed: int = 0, seconds: float = 0.0) -> None:
        """Count the cells of a job, some of which were computed in this time."""
        self.started = None
        self.waiting[kind] -= cells
        self.computed[kind] += computed
        self.spent[kind] += seconds if computed else 0.0

    @property
    def done(self) -> int:
        return self.total - self.waiting.total()

    def left(self, stage: float | None) -> float | None:
        """Return the seconds that are left, None if unknown. `stage` are those of the stage in progress."""
        now, elapsed = time.monotonic(), 0.0
        rates = {kind: self.spent[kind] / cells for kind, cells in self.computed.items() if cells}
        if self.started:
            kind, cells, start = self.started
            elapsed = now - start
            if stage is not None:
                rates.setdefault(kind, (elapsed + stage) / cells)
        open_kinds = [kind for kind, cells in self.waiting.items() if cells]
        if not all(kind in rates for kind in open_kinds):
            return None
        total = sum(self.waiting[kind] * rates[kind] for kind in open_kinds)
        return max(total - elapsed, stage or 0.0) / self.jobs


class Display:
    """Progress bars on a terminal or in a notebook, or else plain lines that begin with `topic`.

    `jobs` processes print.
    """

    def __init__(self, *, quiet: bool = False, topic: str = "", bars: bool = True, jobs: int = 1) -> None:
        self.quiet = quiet
        self.prefix = f"{topic}: " if topic else ""
        self.interactive = bars and not quiet and (sys.stderr.isatty() or in_notebook())
        self.interval = INTERVAL * jobs
        self.run: Run | None = None
        self._stage = ""
        self._stage_left: float | None = None
        self._printed = time.monotonic()
        self._beats = False

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process. Only the process of a call prints the cells of several jobs."""
        run = None if self.run and self.run.jobs > 1 else self.run
        return {**self.__dict__, "run": run, "_beats": False}

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
            self._printed = time.monotonic()

    @contextmanager
    def running(self, cells: Mapping[str, int], jobs: int) -> Iterator[Run]:
        """Show the progress of a call until the block ends. `cells` are the numbers of its cells by kind."""
        self.run, self._beats, ended = (
            Run(Counter(cells), jobs),
            not (self.interactive or self.quiet),
            threading.Event(),
        )

        def beat() -> None:
            while not ended.wait(1):
                self._beat()

        heart = threading.Thread(target=beat, daemon=True)
        if self._beats:
            heart.start()
        try:
            yield self.run
        finally:
            ended.set()
            self.run, self._beats = None, False

    def _beat(self) -> None:
        """Print a line of the progress if the last line is old enough."""
        if time.monotonic() - self._printed >= self.interval:
            run = self.run
            cells = (f"{run.done}/{run.total} cells", _left(run.left(self._stage_left))) if run else ()
            if line := "; ".join(filter(None, (", ".join(filter(None, cells)), self._stage))):
                self.say(f"  {line}")

    @contextmanager
    def stage(self, label: str, total: float, unit: str) -> Iterator[Callable[..., None]]:
        """Show progress of `total` units of work until the block ends.

        The block calls the returned function with the number of finished units, and a note such as the loss.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            TextColumn("{task.fields[left]}", style="cyan"),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=RATE_PERIOD,
            get_time=time.monotonic,
        )
        run = self.run
        if run:
            call = progress.add_task("all cells", total=run.total, completed=run.done, unit="cells", note="", left="")
        stage = progress.add_task(one_line(label), total=total, unit=unit, note="", left="")
        task = progress.tasks[-1]

        def update(done: float, note: str = "") -> None:
            progress.update(stage, completed=done, note=note, left=_left(task.time_remaining))
            if run:
                progress.update(call, left=_left(run.left(task.time_remaining)))
            counted = f"{label}: {done:,.0f}/{total:,.0f} {unit}"
            self._stage_left = task.time_remaining
            self._stage = ", ".join(filter(None, (counted, note, _left(task.time_remaining))))
            if not (self.interactive or self._beats or task.finished):
                self._beat()

        self._stage, self._stage_left = label, None
        try:
            with progress if self.interactive else nullcontext():
                yield update
        finally:
            self._stage, self._stage_left = "", None


def in_notebook() -> bool:
    """Return whether this is a notebook with widgets, which rich needs for its bars."""
    return "ipykernel" in sys.modules and find_spec("ipywidgets") is not None


def _left(seconds: float | None) -> str:
    """Return a time that is left as text, empty if it is unknown."""
    if seconds is None:
        return ""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.{int(unit == 'h')}f} {unit} left"
    return f"about {seconds:.0f} s left"
