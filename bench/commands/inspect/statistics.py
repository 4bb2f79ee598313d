"""Count the queries, documents and words of all collections that are at hand."""

from __future__ import annotations

import argparse

from bench.data import statistics
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.inspection.listing import statistics_table
from bench.offline import forbid_network
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import InspectStatistics
from bench.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, InspectStatistics)


def main(options: argparse.Namespace) -> int:
    forbid_network()
    return inspect_statistics(read_options(InspectStatistics, options))


def inspect_statistics(options: InspectStatistics) -> int:
    """Count everything that is at hand, print it, and write it to a folder if one is named."""
    from bench.encoders.models import load_tokenizer

    cards, display = load_cards(options.cards), Display()
    resolver = Resolver(options.mirror, offline=True)
    tokenizer = load_tokenizer(statistics.TOKENIZER, offline=True)
    rows = []
    for card in cards.values():
        found = list(statistics.count(card, resolver, cards, tokenizer))
        if found:
            columns, lines, right = statistics_table(found)
            print_table(columns, lines, title=card.name, right=right)
            rows += found
    if options.output is not None:
        statistics.write(options.output, rows, cards.values(), resolver)
        display.say(f"written: {options.output / statistics.STATISTICS}, {options.output / statistics.SIZES}")
    return 0
