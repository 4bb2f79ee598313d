"""Write the leaderboards of a results folder again, from its cells alone, and print them."""

from __future__ import annotations

import argparse

from bench.errors import BenchError, describe
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import Leaderboards
from bench.results.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, Leaderboards)


def main(options: argparse.Namespace) -> int:
    return print_leaderboard(read_options(Leaderboards, options))


def print_leaderboard(options: Leaderboards) -> int:
    """Write the leaderboards of a results folder again, from its cells alone, and print them."""
    from bench.evaluation.measures import canonical
    from bench.report.leaderboard import leaderboard
    from bench.report.tables import print_tables

    found, display = leaderboard(Store(options.results), options.baseline), Display()
    for note in found.notes:
        display.warn(note)
    if not found.cells:
        raise BenchError(f"no cell of {options.results} can be shown; bench run computes what is missing")
    print_tables(found.tables(list(map(canonical, options.measures))), found.remarks)
    try:
        found.write()
    except OSError as error:
        display.warn(f"not written: {describe(error)}")
    return 0
