"""Write all files of `bench report`: leaderboards, page and plots."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError, unknown
from bench.report.data import report_data
from bench.report.html import page
from bench.report.leaderboard import BASELINE, Leaderboard
from bench.storage.atomic import atomic_write

NO_PLOTS = "no plots: matplotlib is not installed; pip install -c constraints.txt '.[plots]'"


def write_report(found: Leaderboard, measures: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """Write everything to a folder; return the files and the folder of plots, and notes for the user.

    Raises `BenchError` for an unknown measure or baseline, and for a folder that cannot be written.
    """
    for measure in measures:
        if measure not in found.measures:
            raise unknown("measure", measure, found.measures)
    names = {system.name for system in found.systems}
    if found.baseline not in names and found.baseline != BASELINE:
        raise unknown("baseline", found.baseline, names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{folder} cannot be made: {error.strerror}; choose another with --output") from error
    if not os.access(folder, os.W_OK):
        raise BenchError(f"{folder} cannot be written; choose another with --output")
    data = report_data(found, measures)
    written = [*found.write(folder), folder / "report.html"]
    with atomic_write(written[-1]) as file:
        file.write(page(data))
    if importlib.util.find_spec("matplotlib") is None:
        return written, [NO_PLOTS]
    from bench.report.plots import write_plots

    plots = write_plots(data, folder / "plots")
    return [*written, folder / "plots"], [f"{len(plots)} plots, each as PNG and SVG"]
