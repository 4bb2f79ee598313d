"""Commands about a results folder, from `bench leaderboard` to `bench inspect query`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from bench.data.cards import get_card, load_cards
from bench.data.files import Resolver
from bench.errors import BenchError, describe
from bench.progress import Display
from bench.request import Compare, Import, InspectCell, InspectQuery, Leaderboards, Printed, Reports, Reproduce
from bench.results.store import Store, find_cell
from bench.storage.atomic import atomic_write
from bench.storage.sealed import MANIFEST
from bench.system.offline import forbid_network
from bench.tables import TEXT_WIDTH, frame_csv, print_table, print_text
from bench.terminal import write_out

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.leaderboard import Leaderboard
    from bench.results.store import Record


def print_leaderboard(options: Printed) -> int:
    """Write the leaderboards of a results folder again, from its cells alone, and print them. Ranks and p-values are
    those among all systems, also of a table with some of them.
    """
    from bench.report.report import write_leaderboard
    from bench.report.tables import LATEX, MARKDOWN, paper, print_tables

    found = leaderboard_of(options)
    chosen = found.choose(options.methods, options.datasets, list(map(str, options.pairs)))
    if options.layout == "paper":
        measure = (options.measures or found.measures)[0]
        write_out(*(paper(found, measure, chosen, style) for style in (MARKDOWN, LATEX)))
    else:
        print_tables(found, options.measures, chosen, wide=options.wide)
    try:
        write_leaderboard(found)
    except OSError as error:
        Display().warn(f"not written: {describe(error)}")
    return 0


def report(options: Reports) -> int:
    """Write leaderboards, plots (PNG and SVG) and an HTML page of a results folder. The page needs no network."""
    written, notes = write_report_of(options)
    write_out(f"written: {', '.join(map(str, written))}")
    for note in notes:
        write_out(note)
    return 0


def write_report_of(options: Reports) -> tuple[list[Path], list[str]]:
    """Write what `report` writes; return the paths and notes."""
    from bench.report.report import write_report

    return write_report(leaderboard_of(options), options.measures, options.output or options.results)


def leaderboard_of(options: Leaderboards) -> Leaderboard:
    """Return the leaderboard of a results folder. Raises `BenchError` if it is empty."""
    from bench.report.leaderboard import leaderboard

    found = leaderboard(Store(options.results), options.baseline)
    Display().warn(*found.notes)
    if not found.cells:
        raise BenchError(f"no cell of {options.results} can be shown; compute cells with bench run")
    return found


def compare(options: Compare) -> int:
    """Compare two methods of a results folder, two results folders cell by cell, or two TREC runs by judgments.

    Prints differences with 95 % intervals, p-values, and the queries that differ most. The tests are a paired
    randomisation test over queries and, with several seeds, a t-test over seeds and queries. Holm's procedure corrects
    for all comparisons of all measures.
    """
    import pandas as pd

    from bench.report import pairwise
    from bench.statistics.significance import holm_over

    a, b, compared = options.a, options.b, compared_by(options)
    found = {measure: compared[compared["measure"] == measure] for measure in options.measures}
    write_out(f"A: {a}\nB: {b}")
    for measure, part in found.items():
        rows, shared = pairwise.printed(part)
        notes = [f"p, Holm: {holm_over(len(compared))}"]
        print_table(pairwise.COLUMNS, rows, title=f"{measure} {shared}".strip(), notes=notes, wide=options.wide)
    first = options.measures[0]
    changes = pairwise.changes(found[first], options.queries).values.tolist()
    if changes:
        print_table(pairwise.CHANGES, changes, title=f"queries that differ most by {first}")
    for measure, part in found.items():
        print_text(f"{measure}: {pairwise.verdict(a, b, part)}")
    if options.output is not None:
        with atomic_write(options.output) as file:
            file.write(frame_csv(pd.concat(pairwise.differences(compared))))
        write_out(f"written: {options.output}")
    return 0


def compared_by(options: Compare) -> pd.DataFrame:
    """Return a row for each measure and pair of systems that `compare` compares."""
    from bench.report import comparison, pairwise

    names = options.measures
    pairs = pairwise.opponents(
        options.a, options.b, options.results, options.qrels, names, options.average, options.ties
    )
    compared = comparison.compare(pairs, *names, samples=options.samples)
    if missing := [name for name in names if name not in set(compared["measure"])]:
        raise BenchError(f"A or B has no scores by {', '.join(missing)}; add them with bench run --measures")
    return compared


def import_results(options: Import) -> int:
    """Add results of other software to a leaderboard, marked as external.

    A TREC run is scored with the judgments of the collection. MTEB's results of a task (JSON) and published figures
    have means only.
    """
    from bench.report.leaderboard import leaderboard
    from bench.report.report import write_leaderboard

    store = Store(options.results).open()
    for cell in _imported(store, options):
        write_out(f"{cell.spec.method} on {cell.spec.dataset} {cell.spec.pair}: {cell.folder}")
    found = leaderboard(store)
    write_leaderboard(found)
    Display().warn(*found.notes)
    return 0


def _imported(store: Store, options: Import) -> list[Record]:
    from bench.data.loading import load_test
    from bench.results import external

    cards = load_cards(options.cards)
    if options.published:
        if options.file or options.method:
            raise BenchError("--published takes neither a file nor --method")
        chosen = cards.values() if options.dataset is None else [get_card(options.dataset, cards)]
        return external.import_published(store, chosen)
    path, method = options.file, options.method
    if path is None:
        raise BenchError("name a file, or --published")
    if method is None or options.dataset is None:
        raise BenchError("a file needs --method, the name of its row, and --dataset, the collection that was searched")
    card = get_card(options.dataset, cards)
    encoder = options.encoder or external.only_encoder(store, card.name)
    if ".json" in path.suffixes:
        return external.import_mteb(store, path, method, encoder, card, options.pairs)
    if len(options.pairs) != 1:
        raise BenchError("a run has one language pair; name it with --pairs")
    test = load_test(card, options.pairs[0], Resolver(options.mirror, offline=options.offline), cards)
    Display().warn(*test.summary.notes)
    if test.left_out:
        share = len(test.queries) / (len(test.queries) + test.left_out)
        Display().warn(
            f"{test.name} {test.pair}: trec_eval -c counts them as 0: there, means are {share:.6g} times these"
        )
    names, average, ties = options.measures, options.average, options.ties
    return [external.import_run(store, path, method, encoder, test, names, average, ties)]


def reproduce(options: Reproduce) -> int:
    """Train and evaluate a cell again in a temporary folder, from its manifest alone, and compare the numbers.

    If a number differs, the command lists possible reasons and exits with 3.
    """
    from bench.running.reproduction import reproduce_cell

    return reproduce_cell(options)


def inspect_cell(options: InspectCell) -> int:
    """Show the manifest of a cell: spec, scores, training data, leakage, cost, diagnostics and provenance."""
    from bench.inspection.cell import describe_cell
    from bench.results.ir_metadata import to_yaml

    cell = find_cell(options.cell, options.results)
    if options.json_:
        write_out((cell.folder / MANIFEST).read_text(encoding="utf-8"), end="")
    elif options.ir_metadata:
        if cell.external:
            raise BenchError(f"{cell.folder.name} was imported, so its manifest has no settings")
        write_out(to_yaml(cell.manifest), end="")
    else:
        for name, section in describe_cell(cell).items():
            write_out(yaml.safe_dump({name: section}, sort_keys=False, allow_unicode=True, width=TEXT_WIDTH))
    return 0


def inspect_query(options: InspectQuery) -> int:
    """Show a query, its judged documents, and the scores and top documents of each method of a results folder.

    For methods that align words, show the transport plan between the words of the query and a document.
    """
    forbid_network()
    from bench.inspection.query import print_query

    return print_query(options)
