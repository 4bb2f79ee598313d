"""Train each method on each pair and evaluate it on each collection. The reference rows zero-shot, untrained and
oracle join every run. What is finished already is not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from bench.data.cards import Card, load_cards
from bench.data.files import Resolver
from bench.data.folders import with_folders
from bench.libraries import prepare_libraries
from bench.machine import machine
from bench.offline import no_network
from bench.options import add_options, check_environment, read_options
from bench.processes import Worker
from bench.progress import Display
from bench.request import Request, check
from bench.results.store import Store
from bench.tables import print_table

EPILOG = (
    "Lists are separated by commas or spaces. Every option can also be given as the environment variable "
    "BENCH_<OPTION> or as a key in the file of --config: the command line goes before the environment, that before "
    "the file."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_options(parser, Request)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the cells that would run, and which of them are finished"
    )


def main(options: argparse.Namespace) -> int:
    check_environment(Request)
    request = read_options(Request, options)
    cards = with_folders(load_cards(request.cards), request.datasets, request.pairs)
    check(request, cards)
    return dry_run(request, cards) if options.dry_run else run(request, cards)


def run(request: Request, cards: Mapping[str, Card]) -> int:
    """Run a comparison, print the tables of this call's cells and write its leaderboards; returns the exit code."""
    display = Display(quiet=request.quiet)
    if request.energy:
        from bench.running.energy import check_energy

        check_energy()
    resolver = Resolver(request.mirror, offline=request.offline, display=display)
    prepare_libraries(offline=request.offline, threads=None)
    from bench.report.leaderboard import Leaderboard, leaderboard
    from bench.report.tables import print_tables
    from bench.running.execute import LEAST_PATIENCE, Executor
    from bench.running.materials import Materials
    from bench.running.plan import make_plan
    from bench.running.rows import expand

    threads = request.threads or machine().threads
    with Worker(max(request.patience, LEAST_PATIENCE)) as worker:
        methods, notes = expand(request.methods, request.method, worker.run)
        for note in notes:
            display.warn(note)
        request = request.model_copy(update={"methods": methods})
        plan = make_plan(request, cards, resolver, call=worker.run)
        store = Store(request.results).open()
        for note in plan.notes:
            display.say(note)
        materials = Materials(plan.encoder, request.device, request.precision, cards, resolver, display, threads)
        outcome = Executor(materials, request, store, worker).run(plan)
    if outcome.cells:
        everything = leaderboard(store, request.baseline)
        shown = everything
        if {cell.folder for cell in everything.cells} != {cell.folder for cell in outcome.cells}:
            shown = Leaderboard(outcome.cells, store, request.baseline)
        print_tables(shown.tables(plan.measures), shown.remarks)
        for note in everything.notes:
            display.warn(note)
        display.say(f"written: {', '.join(map(str, everything.write()))}")
    outcome_line = display.warn if outcome.failed else display.say
    if outcome.computed == 0 and not outcome.failed:
        display.say(f"nothing to compute: all {outcome.reused} cells are finished already in {store.root}")
    else:
        failed = f", {outcome.failed} FAILED" if outcome.failed else ""
        outcome_line(f"{outcome.computed} cells computed, {outcome.reused} found finished{failed}")
    return outcome.exit_code


def dry_run(request: Request, cards: Mapping[str, Card]) -> int:
    """Print the cells of a comparison, and which of them are finished. Trains, reads and writes nothing."""
    from bench.running.execute import LEAST_PATIENCE, Executor
    from bench.running.materials import Materials
    from bench.running.plan import TABLE, make_plan, plan_table
    from bench.running.rows import expand

    display = Display()
    resolver = Resolver(request.mirror, offline=True, display=display)
    threads = request.threads or machine().threads
    with no_network(), Worker(max(request.patience, LEAST_PATIENCE)) as worker:
        methods, notes = expand(request.methods, request.method, worker.run)
        request = request.model_copy(update={"methods": methods})
        plan = make_plan(request, cards, resolver, call=worker.run, read=False)
        materials = Materials(plan.encoder, request.device, request.precision, cards, resolver, display, threads)
        finished = Executor(materials, request, Store(request.results)).finished(plan)
    print_table(TABLE, plan_table(plan, finished), right=("queries", "documents"))
    for note in [*notes, *plan.notes]:
        print(note)
    cells = sum(len(cells) for cells in plan.cells.values())
    print(f"{len(plan.cells)} retrievers, {cells} cells, {len(finished)} of them finished")
    return 0
