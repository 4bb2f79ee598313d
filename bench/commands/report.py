"""Write the leaderboards of a results folder, one HTML page that shows everything and needs no network, and plots as
PNG and SVG.
"""

from __future__ import annotations

import argparse

from bench.errors import BenchError
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import Reports
from bench.results.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, Reports)


def main(options: argparse.Namespace) -> int:
    return report(read_options(Reports, options))


def report(options: Reports) -> int:
    """Write the leaderboards of a results folder, a page and plots; returns the exit code."""
    from bench.evaluation.measures import canonical
    from bench.report.leaderboard import leaderboard
    from bench.report.report import write_report

    found = leaderboard(Store(options.results), options.baseline)
    for note in found.notes:
        Display().warn(note)
    if not found.cells:
        raise BenchError(f"no cell of {options.results} can be shown; bench run computes what is missing")
    written, notes = write_report(found, list(map(canonical, options.measures)), options.output or options.results)
    print(f"written: {', '.join(map(str, written))}")
    for note in notes:
        print(note)
    return 0
