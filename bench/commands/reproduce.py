"""Train and evaluate a cell once more, from its manifest alone and in a scratch folder, and say whether its numbers are
the same, and if not what has changed that could be the reason. Exits 3 if one differs.
"""

from __future__ import annotations

import argparse

from bench.options import add_options, read_options
from bench.request import Reproduce


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", metavar="CELL", help="as for bench inspect cell")
    add_options(parser, Reproduce)


def main(options: argparse.Namespace) -> int:
    given = read_options(Reproduce, options)
    from bench.running.reproduction import reproduce_cell

    return reproduce_cell(options.cell, given)
