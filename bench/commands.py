"""The commands behind the command line; each imports what is heavy only when it needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cards import Card, get_card, load_cards
from bench.files import Resolver
from bench.progress import Display
from bench.request import Request
from bench.store import Store
from bench.tables import print_table


def run(request: Request, cards: Mapping[str, Card], resolver: Resolver, *, quiet: bool = False) -> int:
    """Run a comparison, write its leaderboards and print the tables of this call's cells; returns the exit code."""
    display = Display(quiet=quiet)
    display.say("loading ...")
    _prepare_libraries(resolver)
    from bench.execute import Executor
    from bench.leaderboard import cost_frame, print_tables, tables, wide_frame, write_leaderboards
    from bench.materials import Materials
    from bench.plan import make_plan

    plan = make_plan(request, cards, resolver)
    store = Store(request.results).open()
    for note in plan.notes:
        display.say(note)
    materials = Materials(plan.encoder, request.device, request.precision, cards, resolver, display)
    outcome = Executor(materials, request.measures, store, display).run(plan)
    if outcome.cells:
        files = write_leaderboards(store)
        print_tables(tables(wide_frame(outcome.cells), cost_frame(store, outcome.cells), request.measures))
        display.say(f"written: {', '.join(str(file) for file in files)}")
    outcome_line = display.warn if outcome.failed else display.say
    if outcome.computed == 0 and not outcome.failed:
        display.say(f"nothing to compute: all {outcome.reused} cells are finished already in {store.root}")
    else:
        failed = f", {outcome.failed} FAILED" if outcome.failed else ""
        outcome_line(f"{outcome.computed} cells computed, {outcome.reused} found finished{failed}")
    return outcome.exit_code


def dry_run(request: Request, cards: Mapping[str, Card], resolver: Resolver) -> int:
    """Print the cells that would run and an estimate of their cost; trains and writes nothing."""
    _prepare_libraries(resolver)
    from bench.estimate import estimate_cells
    from bench.plan import make_plan

    plan = make_plan(request, cards, resolver)
    rows, total = estimate_cells(plan, Store(request.results))
    columns = ["training", "budget", "trains on", "collection", "queries", "documents", "about"]
    print_table(columns, rows, right=("queries", "documents", "about"))
    for note in plan.notes:
        print(note)
    cells = sum(len(cells) for cells in plan.cells.values())
    print(f"{len(plan.cells)} retrievers, {cells} cells, {total}")
    return 0


def leaderboard(results: Path, measures: Sequence[str]) -> int:
    """Write the leaderboards of a results folder again, from its cells alone, and print them."""
    from bench.leaderboard import (
        cost_frame,
        current,
        print_tables,
        scored_measures,
        tables,
        wide_frame,
        write_leaderboards,
    )
    from bench.measures import parse_measures
    from bench.request import RUN_DEPTH

    store = Store(results)
    write_leaderboards(store)
    entries = current(store.cells())
    wide = wide_frame(entries)
    shown = parse_measures(measures, RUN_DEPTH) or scored_measures(wide)
    print_tables(tables(wide, cost_frame(store, entries), shown))
    return 0


def ls(kind: str, name: str | None) -> int:
    """List one kind of thing, or say everything about one of them."""
    from bench.errors import BenchError
    from bench.listing import describe_dataset, listing

    cards = load_cards()
    if name is None:
        columns, rows = listing(kind, cards)
        print_table(columns, rows)
    elif kind == "datasets":
        card = get_card(name, cards)
        print("\n".join(describe_dataset(card)))
        if any(entry.format == "conlang" for entry in card.data):
            from bench.conlang.__main__ import print_statistics

            print()
            print_statistics()
    else:
        raise BenchError(f"bench ls {kind} takes no name")
    return 0


def _prepare_libraries(resolver: Resolver) -> None:
    """Settings that libraries read when they are imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if resolver.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
