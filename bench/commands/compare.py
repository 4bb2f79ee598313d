"""Compare two methods of a results folder, two results folders cell by cell, or two TREC runs by judgments: differences
with intervals, paired randomisation tests over queries, Student's test over seeds and queries where there are several
seeds, Holm's correction over all that is compared, and the queries that differ most.
"""

from __future__ import annotations

import argparse

from bench.errors import BenchError
from bench.options import add_options, read_options
from bench.request import Versus
from bench.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a method as leaderboards call it, a results folder, or a run")
    parser.add_argument("b", metavar="B", help="another of the same kind")
    add_options(parser, Versus)


def main(options: argparse.Namespace) -> int:
    return compare(options.a, options.b, read_options(Versus, options))


def compare(a: str, b: str, options: Versus) -> int:
    """Print how A and B differ, how sure that is, and for which queries most; returns the exit code."""
    from bench.report import comparison, versus

    pairs = versus.opponents(a, b, options.results, options.qrels, options.measures)
    found = {measure: comparison.compare(pairs, measure, options.samples) for measure in options.measures}
    if missing := [measure for measure, comparisons in found.items() if not comparisons]:
        raise BenchError(f"not both of them were scored by {', '.join(missing)}")
    print(f"A: {a}\nB: {b}")
    for comparisons in found.values():
        print_table(versus.COLUMNS, list(map(versus.row, comparisons)), right=versus.COLUMNS[2:])
    first = found[options.measures[0]]
    changes = [change for each in first for change in versus.changes(each, options.queries)]
    if changes:
        title = f"queries that differ most by {options.measures[0]}"
        print_table(versus.CHANGES, changes, title=title, right=versus.CHANGES[2:])
    print("\n".join(f"{measure}: {versus.verdict(a, b, each)}" for measure, each in found.items()))
    if options.output is not None:
        versus.write_differences(options.output, [each for comparisons in found.values() for each in comparisons])
        print(f"written: {options.output}")
    return 0
