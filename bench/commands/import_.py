"""Let what was made elsewhere join a leaderboard, marked as external: a TREC run (of pyserini, say), which is scored
here by the collection's judgments, or MTEB's results of a task (JSON), of which only means are known.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.data.cards import get_card, load_cards
from bench.data.files import Resolver
from bench.errors import BenchError
from bench.options import add_options, read_options
from bench.request import Import
from bench.results.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a TREC run, perhaps gzipped, or MTEB's JSON")
    add_options(parser, Import)


def main(options: argparse.Namespace) -> int:
    return import_results(options.file, read_options(Import, options))


def import_results(path: Path, options: Import) -> int:
    """Keep what was made elsewhere as cells and write the leaderboards again; returns the exit code."""
    from bench.data.loading import load_test
    from bench.report.leaderboard import leaderboard
    from bench.results import external

    cards = load_cards(options.cards)
    card = get_card(options.dataset, cards)
    store = Store(options.results).open()
    encoder = options.encoder or external.only_encoder(store, card.name)
    if path.suffix == ".json":
        entries = external.import_mteb(store, path, options.method, encoder, card.name, options.pairs)
    else:
        if len(options.pairs) != 1:
            raise BenchError("a run is of one language pair; name it with --pairs")
        test = load_test(card, options.pairs[0], Resolver(options.mirror, offline=options.offline), cards)
        entries = [external.import_run(store, path, options.method, encoder, test, options.measures)]
    for cell in entries:
        print(f"{options.method} on {card.name} {cell.spec.pair}: {cell.folder}")
    found = leaderboard(store)
    found.write()
    for note in found.notes:
        print(note)
    return 0
