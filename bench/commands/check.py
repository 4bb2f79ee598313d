"""Compute some seeds of a baseline again. Exits 3 with a table if a value moved, in either direction, or is missing or
new.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.libraries import prepare_libraries
from bench.options import add_options, read_options
from bench.request import Check, Computing
from bench.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="BASELINE", help="a file that bench baseline wrote")
    add_options(parser, Check)
    add_options(parser, Computing)


def main(options: argparse.Namespace) -> int:
    asked = read_options(Check, options, environment=False)
    return check(options.file, asked, read_options(Computing, options))


def check(path: Path, options: Check, computing: Computing) -> int:
    """Compute a baseline's values again and print what moved; returns the exit code."""
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import Baseline
    from bench.gate.compare import COLUMNS, compare
    from bench.gate.compute import compute_seeds, working
    from bench.results.provenance import provenance

    expected = Baseline.read(path)
    expected = expected.of(options.methods) if options.methods else expected
    suite = expected.suite
    with working(computing, "check") as work:
        found = compute_seeds(suite, suite.seeds[: suite.checked], work, computing.processes)
    changes = compare(expected, found)
    libraries = provenance()["libraries"]
    for name, version in expected.made_by["libraries"].items():
        if libraries.get(name) != version:
            work.display.say(f"{name} is {libraries.get(name)}; the baseline was made with {version}")
    if not changes:
        work.display.say(f"{len(expected.keys)} values are where {path} has them")
        return 0
    print_table(COLUMNS, [change.row for change in changes], right=COLUMNS[2:6])
    cells = dict.fromkeys(change.key[0] for change in changes)
    print(f"{len(changes)} of {len(expected.keys)} values moved, in: {', '.join(cells)}")
    return 3
