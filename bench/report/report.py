"""`bench report`: the leaderboards, the page and the plots of a results folder, written."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from bench.atomic import atomic_write
from bench.errors import BenchError, unknown
from bench.report.data import report_data
from bench.report.html import page
from bench.report.leaderboard import BASELINE, Leaderboard

PAGE = "report.html"
PLOTS = "plots"
NO_PLOTS = "no plots: matplotlib is not installed; pip install -c constraints.txt '.[plots]'"


def write_report(found: Leaderboard, measures: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """Write everything to a folder; returns the files and the folder of plots, and what there is to say about them.

    Raises `BenchError` for a measure that no cell was scored by, an unknown baseline, a folder that cannot be written.
    """
    for measure in measures:
        if measure not in found.measures:
            raise unknown("measure", measure, found.measures)
    names = {system.name for system in found.systems}
    if found.baseline not in names and found.baseline != BASELINE:
        raise unknown("baseline", found.baseline, names)
    _make(folder)
    data = report_data(found, measures)
    written = found.write(folder)
    with atomic_write(folder / PAGE) as file:
        file.write(page(data))
    written.append(folder / PAGE)
    if importlib.util.find_spec("matplotlib") is None:
        return written, [NO_PLOTS]
    from bench.report.plots import write_plots

    plots = write_plots(data, folder / PLOTS)
    return [*written, folder / PLOTS], [f"{len(plots)} plots, each as PNG and SVG"]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{folder} cannot be made: {error.strerror}; choose another with --output") from error
    if not os.access(folder, os.W_OK):
        raise BenchError(f"{folder} cannot be written; choose another with --output")
