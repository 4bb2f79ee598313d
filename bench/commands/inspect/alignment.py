"""Train each method on an embedded language, whose true word alignment is known, and print the F1 of the links between
words that are each other's most related: by the mass that the method's loss moves between them, and by the cosine of
their embeddings, before training and after; and by chance. The sentences are the first of those that are trained on.
"""

from __future__ import annotations

import argparse

from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.libraries import prepare_libraries
from bench.machine import machine
from bench.offline import forbid_network
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import InspectAlignment, Request
from bench.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, InspectAlignment)


def main(options: argparse.Namespace) -> int:
    forbid_network()
    return inspect_alignment(read_options(InspectAlignment, options))


def inspect_alignment(options: InspectAlignment) -> int:
    """Train what aligns words on an embedded language and print how well it does before and after."""
    threads = options.threads or machine().threads
    prepare_libraries(offline=True, threads=threads)
    from bench.running.alignments import COLUMNS, aligners, alignment_rows
    from bench.running.materials import Materials
    from bench.running.plan import make_plan

    cards, display = load_cards(), Display()
    asked = options.model_dump() | {"methods": options.methods or aligners(), "encoder": "tiny"}
    request, resolver = Request.model_validate(asked), Resolver(offline=True)
    materials = Materials("tiny", "cpu", "float32", cards, resolver, display, threads)
    rows = []
    for row in alignment_rows(make_plan(request, cards, resolver), materials):
        display.say("  ".join(row))
        rows.append(row)
    print_table(COLUMNS, rows, right=COLUMNS[2:])
    return 0
