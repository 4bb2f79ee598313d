"""List the training rows that repeat, exactly or nearly, what a test collection judges by: its queries, their
translations and its relevant documents. They are removed before training.
"""

from __future__ import annotations

import argparse

from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import InspectLeakage
from bench.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, InspectLeakage)


def main(options: argparse.Namespace) -> int:
    return inspect_leakage(read_options(InspectLeakage, options))


def inspect_leakage(options: InspectLeakage) -> int:
    """Print which training rows leak which tests, and write all of them to a file if one is named."""
    from bench.data.mixing import default_mix, search
    from bench.inspection.leakage import COLUMNS, count, excerpt, findings, leakage_pairs, write_findings

    cards, display = load_cards(options.cards), Display()
    resolver = Resolver(options.mirror, offline=options.offline, display=display)
    rows, everything = [], []
    for pair in options.pairs or leakage_pairs(options.train, cards):
        found = search(options.train or (default_mix(pair, cards),), [pair], resolver, cards)
        groups = findings(pair, found)
        for group, members in groups.items():
            rows.append(count(group, members, found))
            everything += members
            if options.limit:
                print(f"{pair}: {group.training} {group.role} repeats {group.test}")
                print("\n".join([*excerpt(members, options.limit), ""]))
        clean = [test for test in found.tests if all(test != group.test for group in groups)]
        if clean:
            display.say(f"{pair}: no leakage of {', '.join(clean)}")
        for test, reason in found.not_checked.items():
            display.warn(f"{pair}: NOT CHECKED: {test}: {reason}")
    if rows:
        print_table(COLUMNS, rows, right=[*COLUMNS[2:5], *COLUMNS[6:]])
    if options.output is not None:
        write_findings(options.output, everything)
        display.say(f"written: {options.output}")
    return 0
