"""The files of a leaderboard and of a report."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import BenchError, pip_install, unknown
from bench.report.leaderboard import BASELINE, Leaderboard, bitext_of, cost_frame, gap_frame, long_frame, share_frame
from bench.report.page import page, report_data
from bench.report.tables import latex, markdown
from bench.storage.atomic import atomic_write
from bench.tables import frame_csv


def write_leaderboard(found: Leaderboard, folder: Path | None = None) -> list[Path]:
    """Write the files of a leaderboard, by default to the results folder, and return their paths."""
    frames = {
        "leaderboard.csv": long_frame(found.cells),
        "leaderboard-wide.csv": found.wide,
        "comparisons.csv": found.pairs,
        "cost.csv": cost_frame(found.cells),
        "languages.csv": share_frame(found.cells),
        "gaps.csv": gap_frame(found.systems, bitext_of(found.cells)),
    }
    contents = {
        name: frame_csv(frame)
        for name, frame in frames.items()
        if len(frame) or name not in ("languages.csv", "gaps.csv")
    }
    return _write(
        folder or found.store.root, contents | {"leaderboard.md": markdown(found), "leaderboard.tex": latex(found)}
    )


def write_report(found: Leaderboard, measures: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """Write leaderboards, page and plots; return their paths and notes. Raises `BenchError` for unknown names."""
    for measure in measures:
        if measure not in found.measures:
            raise unknown("measure", measure, found.measures)
    names = {system.name for system in found.systems}
    if found.baseline not in names and found.baseline != BASELINE:
        raise unknown("baseline", found.baseline, names)
    data = report_data(found, measures)
    try:
        written = [*write_leaderboard(found, folder), *_write(folder, {"report.html": page(data)})]
    except OSError as error:
        raise BenchError(f"{folder} cannot be written: {error.strerror}; choose another with --output") from error
    if importlib.util.find_spec("matplotlib") is None:
        return written, [f"no plots: matplotlib is not installed: {pip_install('plots')}"]
    from bench.report.plots import write_plots

    plots = write_plots(data, folder / "plots")
    return [*written, folder / "plots"], [f"{len(plots)} plots, each as PNG and SVG"]


def _write(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    for name, text in contents.items():
        with atomic_write(folder / name) as file:
            file.write(text)
    return [folder / name for name in contents]
