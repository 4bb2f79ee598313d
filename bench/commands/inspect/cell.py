"""Show the manifest of a cell: what was asked, what it scored, what was trained on and removed for leakage, what it
cost, what the training says of itself, and by what it was made.
"""

from __future__ import annotations

import argparse

from bench.inspection.cell import inspect_cell
from bench.options import add_options, read_options
from bench.request import Results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cell",
        metavar="CELL",
        help="a cell's folder, its name in the results folder, or the beginning of a fingerprint",
    )
    add_options(parser, Results)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="form", action="store_const", const="json", help="print the manifest as it is")
    forms.add_argument(
        "--ir-metadata", dest="form", action="store_const", const="ir_metadata", help="print the metadata of its run"
    )


def main(options: argparse.Namespace) -> int:
    return inspect_cell(options.cell, read_options(Results, options).results, options.form or "")
