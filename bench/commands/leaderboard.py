"""Write the leaderboards of a results folder again, from its cells alone, and print them."""

from __future__ import annotations

import argparse

from bench.options import add_options, read_options
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

    found = leaderboard(Store(options.results), options.baseline)
    found.write()
    print_tables(found.tables(list(map(canonical, options.measures))), found.remarks)
    return 0
