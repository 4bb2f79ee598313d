"""Time what a package offers to time, under a name in the entry-point group bench.speed."""

from __future__ import annotations

import argparse
from importlib.metadata import entry_points

from bench.data.cards import load_cards
from bench.errors import unknown
from bench.libraries import prepare_libraries
from bench.machine import machine
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import Speed
from bench.tables import print_table

GROUP = "bench.speed"
"""The entry-point group of measurements: functions from tasks to tables, each (title, columns, rows)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what to time, such as ot: optimal transport")
    add_options(parser, Speed)


def main(options: argparse.Namespace) -> int:
    given = read_options(Speed, options)
    known = {point.name: point for point in entry_points(group=GROUP)}
    if options.name not in known:
        raise unknown("measurement", options.name, known)
    prepare_libraries(offline=given.offline, threads=given.threads or machine().threads)
    from bench.running.speed import tasks

    for title, columns, rows in known[options.name].load()(tasks(given, load_cards(given.cards), Display())):
        print_table(columns, rows, title=title, right=columns[1:])
    return 0
