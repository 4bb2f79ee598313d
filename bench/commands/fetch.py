"""Download the files of collections, and verify those that are available."""

from __future__ import annotations

import argparse

from bench.data.cards import load_cards
from bench.data.fetch import fetch
from bench.data.files import Resolver
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import Fetch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="collections or mixes (see bench ls datasets)")
    add_options(parser, Fetch)


def main(options: argparse.Namespace) -> int:
    given = read_options(Fetch, options)
    display = Display(quiet=given.quiet)
    resolver = Resolver(given.mirror, offline=given.offline, display=display)
    return fetch(options.names, given.pairs, load_cards(given.cards), resolver, display)
