"""List methods, collections, language pairs, encoders or measures, or say everything about one method or collection."""

from __future__ import annotations

import argparse

from bench import registry
from bench.data.cards import get_card, load_cards
from bench.data.files import Resolver
from bench.data.statistics import read_statistics
from bench.errors import BenchError
from bench.inspection.listing import KINDS, describe_dataset, listing, statistics_table
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import Listing
from bench.tables import PLAIN_WIDTH, TEXT_WIDTH, print_markdown, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", nargs="?", help="say everything about one of them (methods, datasets)")
    add_options(parser, Listing)


def main(options: argparse.Namespace) -> int:
    return ls(options.kind, options.name, read_options(Listing, options))


def ls(kind: str, name: str | None, options: Listing) -> int:
    """List one kind of thing, or say everything about one of them."""
    cards = load_cards(options.cards)
    if options.output is not None:
        if kind != "methods" or name is not None:
            raise BenchError("--output is for bench ls methods, which writes a page for each")
        from bench.inspection.pages import write_pages

        write_pages(options.output)
    elif name is None:
        for line in registry.usable()[1] if kind == "methods" else ():
            Display().warn(f"skipped: {line}")
        columns, rows, right = listing(kind, cards)
        print_table(columns, rows, right=right, width=TEXT_WIDTH if kind == "methods" else PLAIN_WIDTH)
    elif kind == "methods":
        entry = registry.find_method(name)
        from bench.inspection.pages import method_page

        print_markdown(method_page(entry))
    elif kind == "datasets":
        card = get_card(name, cards)
        print("\n".join(describe_dataset(card, Resolver(options.mirror, offline=True))))
        statistics = [row for row in read_statistics() if row.collection == card.name]
        if statistics:
            columns, rows, right = statistics_table(statistics)
            print()
            print_table(columns, rows, right=right)
        if any(entry.format == "conlang" for entry in card.data):
            from bench.conlang.__main__ import print_statistics

            print()
            print_statistics()
    else:
        raise BenchError(f"bench ls {kind} takes no name")
    return 0
