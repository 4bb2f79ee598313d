"""The commands behind the command line; each imports what is heavy only when it needs it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.atomic import atomic_write
from bench.data.cards import Card, get_card, load_cards
from bench.data.files import Resolver
from bench.errors import BenchError, Interrupted, unknown
from bench.libraries import prepare_libraries
from bench.progress import Display
from bench.request import (
    Check,
    Computing,
    Fetch,
    Import,
    InspectAlignment,
    InspectLeakage,
    InspectStatistics,
    Leaderboards,
    Listing,
    Reports,
    Request,
    Speed,
    Suite,
    Validation,
    Versus,
)
from bench.results.store import Store
from bench.tables import PLAIN_WIDTH, TEXT_WIDTH, print_markdown, print_table

if TYPE_CHECKING:
    from bench.gate.compute import Work

SPEED = "bench.speed"
"""The entry-point group of measurements: functions from tasks to tables, each (title, columns, rows)."""


def run(request: Request, cards: Mapping[str, Card]) -> int:
    """Run a comparison, print the tables of this call's cells and write its leaderboards; returns the exit code."""
    display = Display(quiet=request.quiet)
    if request.energy:
        from bench.running.energy import check_energy

        check_energy()
    resolver = Resolver(request.mirror, offline=request.offline, display=display)
    display.say("loading ...")
    prepare_libraries(offline=request.offline, threads=request.threads)
    from bench.report.leaderboard import Leaderboard, leaderboard
    from bench.report.tables import print_tables
    from bench.running.execute import Executor
    from bench.running.materials import Materials
    from bench.running.plan import make_plan
    from bench.running.rows import expand

    methods, notes = expand(request.methods, request.method)
    for note in notes:
        display.warn(note)
    request = request.model_copy(update={"methods": methods})
    plan = make_plan(request, cards, resolver)
    store = Store(request.results).open()
    for note in plan.notes:
        display.say(note)
    materials = Materials(plan.encoder, request.device, request.precision, cards, resolver, display)
    outcome = Executor(materials, request, store, display).run(plan)
    if outcome.cells:
        shown = Leaderboard(outcome.cells, store, request.baseline)
        print_tables(shown.tables(plan.measures), shown.remarks)
        written = leaderboard(store, request.baseline).write()
        display.say(f"written: {', '.join(map(str, written))}")
    outcome_line = display.warn if outcome.failed else display.say
    if outcome.computed == 0 and not outcome.failed:
        display.say(f"nothing to compute: all {outcome.reused} cells are finished already in {store.root}")
    else:
        failed = f", {outcome.failed} FAILED" if outcome.failed else ""
        outcome_line(f"{outcome.computed} cells computed, {outcome.reused} found finished{failed}")
    return outcome.exit_code


def dry_run(request: Request, cards: Mapping[str, Card]) -> int:
    """Print the cells that would run and an estimate of their cost; trains and writes nothing."""
    prepare_libraries(offline=request.offline, threads=request.threads)
    from bench.running.estimate import estimate_cells
    from bench.running.plan import make_plan
    from bench.running.rows import expand

    methods, notes = expand(request.methods, request.method)
    request = request.model_copy(update={"methods": methods})
    plan = make_plan(request, cards, Resolver(request.mirror, offline=request.offline, display=Display()))
    rows, total = estimate_cells(plan, Store(request.results))
    columns = ["training", "budget", "trains on", "collection", "queries", "documents", "about"]
    print_table(columns, rows, right=("queries", "documents", "about"))
    for note in [*notes, *plan.notes]:
        print(note)
    cells = sum(len(cells) for cells in plan.cells.values())
    print(f"{len(plan.cells)} retrievers, {cells} cells, {total}")
    return 0


def fetch(names: Sequence[str], options: Fetch) -> int:
    """Download or verify the files of collections; returns the exit code."""
    from bench.data import fetch

    display = Display(quiet=options.quiet)
    resolver = Resolver(options.mirror, offline=options.offline, display=display)
    return fetch.fetch(names, options.pairs, load_cards(options.cards), resolver, display)


def baseline(path: Path, suite: Suite, computing: Computing, reason: str | None) -> int:
    """Compute a suite and write its baseline; returns the exit code."""
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import Baseline, fit_for_a_baseline, make_baseline
    from bench.gate.compute import compute_seeds, planned
    from bench.gate.loosening import foreseen, loosened, refuse, with_reason
    from bench.running.rows import expand

    methods, notes = expand(suite.methods or (registry.ALL,), {})
    for note in notes:
        print(note)
    suite = fit_for_a_baseline(suite.model_copy(update={"methods": methods}))
    for method in suite.methods:
        registry.row_name(method)
    old = Baseline.read(path) if path.exists() else None
    reason = (reason or "").strip() or None
    with results_folder(computing, "baseline") as work:
        plan = work.plan(suite, suite.seeds[0])
        if old is not None and reason is None:
            refuse(path, foreseen(old, suite, planned(plan)))
        made = make_baseline(suite, compute_seeds(suite, suite.seeds, work, computing.processes))
    if old is not None:
        if reason is None:
            refuse(path, loosened(old, made), "; what --keep FOLDER kept is not computed again")
        made = with_reason(old, made, reason)
    made.write(path)
    seeds = "seed" if suite.by_query else "seeds"
    print(f"written: {path}, {len(made.keys)} values of {len(suite.seeds)} {seeds}")
    if old is not None and reason is not None:
        print(f"loosened: {'; '.join(made.history[-1]['loosened']) or 'nothing'}; because: {reason}")
    return 0


def check(path: Path, options: Check, computing: Computing) -> int:
    """Compute a baseline's values again and print what moved; returns the exit code."""
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import Baseline
    from bench.gate.compare import COLUMNS, compare
    from bench.gate.compute import compute_seeds
    from bench.results.provenance import provenance

    expected = Baseline.read(path)
    expected = expected.of(options.methods) if options.methods else expected
    suite = expected.suite
    with results_folder(computing, "check") as work:
        found = compute_seeds(suite, suite.seeds[: suite.checked], work, computing.processes)
    changes = compare(expected, found)
    libraries = provenance()["libraries"]
    for name, version in expected.made_by["libraries"].items():
        if libraries.get(name) != version:
            work.display.say(f"{name} is {libraries.get(name)}; the baseline was made with {version}")
    if not changes:
        work.display.say(f"{len(expected.keys)} values are where {path} has them")
        return 0
    print_table(COLUMNS, [change.row for change in changes], right=COLUMNS[2:6])
    cells = dict.fromkeys(change.key[0] for change in changes)
    print(f"{len(changes)} of {len(expected.keys)} values moved, in: {', '.join(cells)}")
    return 3


@contextmanager
def results_folder(computing: Computing, name: str) -> Iterator[Work]:
    """Where the gate computes: the folder to keep, or one that is gone when the block ends."""
    from bench.gate.compute import Work

    display = Display(quiet=computing.quiet)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as scratch:
        resolver = Resolver(computing.mirror, offline=True)
        try:
            yield Work(load_cards(computing.cards), resolver, computing.keep or Path(scratch), display)
        except KeyboardInterrupt:
            if computing.keep is not None:
                raise
            raise Interrupted("interrupted; nothing is kept without --keep FOLDER") from None


def new_method(name: str) -> int:
    """Write the package of a new method to the working folder; returns the exit code."""
    from bench.template import class_name, write_method

    _, module, _ = written = write_method(name, Path())
    print(f"written: {', '.join(map(str, written))}")
    print(f"check it with: bench validate {module}:{class_name(name)}")
    print(f"install it with: pip install -e {name}")
    return 0


def validate(method: str, options: Validation) -> int:
    """Print what came of each check; returns the exit code."""
    prepare_libraries(offline=False, threads=1)
    from bench import validation

    findings = validation.validate(method, options, Display())
    print_table(["check", "", "finding"], findings, width=TEXT_WIDTH)
    return int(any(finding.verdict == validation.FAIL for finding in findings))


def leaderboard(options: Leaderboards) -> int:
    """Write the leaderboards of a results folder again, from its cells alone, and print them."""
    from bench.evaluation.measures import canonical
    from bench.report.leaderboard import leaderboard
    from bench.report.tables import print_tables

    found = leaderboard(Store(options.results), options.baseline)
    found.write()
    print_tables(found.tables(list(map(canonical, options.measures))), found.remarks)
    return 0


def compare(a: str, b: str, options: Versus) -> int:
    """Print how A and B differ, how sure that is, and for which queries most; returns the exit code."""
    from bench.report import comparison, versus

    pairs = versus.opponents(a, b, options.results, options.qrels, options.measures)
    found = {measure: comparison.compare(pairs, measure, options.samples) for measure in options.measures}
    if missing := [measure for measure, comparisons in found.items() if not comparisons]:
        raise BenchError(f"not both of them were scored by {', '.join(missing)}")
    print(f"A: {a}\nB: {b}\n")
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


def import_results(path: Path, options: Import) -> int:
    """Keep what was made elsewhere as cells and write the leaderboards again; returns the exit code."""
    from bench.data.loading import load_test
    from bench.report.leaderboard import leaderboard
    from bench.results import external

    cards = load_cards(options.cards)
    card = get_card(options.dataset, cards)
    store = Store(options.results).open()
    encoder = options.encoder or external.only_encoder(store, card.name)
    names = {"method": options.method, "encoder": encoder}
    if path.suffix == ".json":
        entries = external.import_mteb(store, path, names, card.name, options.pairs)
    else:
        if len(options.pairs) != 1:
            raise BenchError("a run is of one language pair; name it with --pairs")
        test = load_test(card, options.pairs[0], Resolver(options.mirror, offline=options.offline), cards)
        entries = [external.import_run(store, path, names, test, options.measures)]
    for entry in entries:
        print(f"{options.method} on {card.name} {entry.manifest['pair']}: {entry.folder}")
    leaderboard(store).write()
    return 0


def report(options: Reports) -> int:
    """Write the leaderboards of a results folder, a page and plots; returns the exit code."""
    from bench.evaluation.measures import canonical
    from bench.report.leaderboard import leaderboard
    from bench.report.report import write_report

    found = leaderboard(Store(options.results), options.baseline)
    written, notes = write_report(found, list(map(canonical, options.measures)), options.output or options.results)
    print(f"written: {', '.join(map(str, written))}")
    for note in notes:
        print(note)
    return 0


def ls(kind: str, name: str | None, options: Listing) -> int:
    """List one kind of thing, or say everything about one of them."""
    from bench.data.statistics import read_statistics
    from bench.listing import describe_dataset, listing, statistics_table

    cards = load_cards(options.cards)
    if options.output is not None:
        if kind != "methods" or name is not None:
            raise BenchError("--output is for bench ls methods, which writes a page for each")
        write_pages(options.output)
    elif name is None:
        for line in registry.usable()[1] if kind == "methods" else ():
            Display().warn(f"skipped: {line}")
        columns, rows, right = listing(kind, cards)
        print_table(columns, rows, right=right, width=TEXT_WIDTH if kind == "methods" else PLAIN_WIDTH)
    elif kind == "methods":
        entry = registry.find_method(name)
        from bench.pages import method_page

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


def write_pages(folder: Path) -> None:
    """Write the page of each method of this project to a folder."""
    from bench.pages import method_page

    for entry in registry.known().values():
        if entry.package == registry.OWN and not entry.is_variant:
            with atomic_write(folder / f"{entry.name}.md") as file:
                file.write(method_page(entry))


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
                print(
                    "\n".join(
                        [
                            f"{pair}: {group.training} {group.role} repeats {group.test}",
                            *excerpt(members, options.limit),
                            "",
                        ]
                    )
                )
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


def inspect_alignment(options: InspectAlignment) -> int:
    """Train what aligns words on an embedded language and print how well it does before and after."""
    prepare_libraries(offline=True, threads=options.threads)
    from bench.running.alignments import COLUMNS, aligners, alignment_rows
    from bench.running.materials import Materials
    from bench.running.plan import make_plan

    cards, display = load_cards(), Display()
    asked = options.model_dump() | {"methods": options.methods or aligners(), "encoder": "tiny"}
    request, resolver = Request.model_validate(asked), Resolver(offline=True)
    materials = Materials("tiny", "cpu", "float32", cards, resolver, display)
    rows = []
    for row in alignment_rows(make_plan(request, cards, resolver), materials):
        display.say("  ".join(row))
        rows.append(row)
    print_table(COLUMNS, rows, right=COLUMNS[2:])
    return 0


def speed(name: str, options: Speed) -> int:
    """Print the tables of a measurement that is named in the entry-point group `bench.speed`."""
    from importlib.metadata import entry_points

    known = {point.name: point for point in entry_points(group=SPEED)}
    if name not in known:
        raise unknown("measurement", name, known)
    prepare_libraries(offline=options.offline, threads=options.threads)
    from bench.running.speed import tasks

    for title, columns, rows in known[name].load()(tasks(options, load_cards(options.cards), Display())):
        print_table(columns, rows, title=title, right=columns[1:])
    return 0


def inspect_statistics(options: InspectStatistics) -> int:
    """Count everything that is at hand, print it, and write it to a folder if one is named."""
    from bench.data import statistics
    from bench.encoders.models import load_tokenizer
    from bench.listing import statistics_table

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
