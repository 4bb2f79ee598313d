"""The command line. Nothing heavy is imported before the command is known to make sense."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bench
from bench.errors import BenchError, describe

KINDS = ("methods", "datasets", "pairs", "encoders", "measures")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = make_parser(next((word for word in arguments if not word.startswith("-")), "")).parse_args(arguments)
    try:
        return int(options.command(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bench: interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        print(
            f"bench: {describe(error)}; what is finished is kept, the same command goes on from there", file=sys.stderr
        )
        return 1


def make_parser(chosen: str = "") -> argparse.ArgumentParser:
    """The parser; only the command `chosen` has its options, because they import what describes them."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Compare training methods for cross-lingual retrieval on low-resource languages: "
        "same student, same data, same budget, one pipeline.",
        epilog="exit codes: 0 done, 1 a cell failed, 2 bad usage or input, 3 a number differs",
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (add, help) in COMMANDS.items():
        command = commands.add_parser(name, help=help)
        if name == chosen:
            add(command)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Request

    parser.description = (
        "Train each method on each pair and evaluate it on each collection. The reference rows zero-shot, untrained "
        "and oracle join every run. What is finished already is not computed again."
    )
    parser.epilog = (
        "Lists are separated by commas or spaces. Every option can also be given as the environment variable "
        "BENCH_<OPTION> or as a key in the file of --config: the command line goes before the environment, that before "
        "the file."
    )
    add_options(parser, Request)
    parser.add_argument("--dry-run", action="store_true", help="print what would run and about how long it would take")
    parser.set_defaults(command=run_command)


def add_fetch(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Fetch

    parser.description = (
        "Download what collections need and verify what is there. A download that was cut off goes on where it "
        "stopped; a file gets its name only once it is whole and its sha256 is right."
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="collections or mixes (see bench ls datasets)")
    add_options(parser, Fetch)
    parser.set_defaults(command=fetch_command)


def add_baseline(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Computing, Suite

    parser.description = (
        "Compute a suite, the embedded one unless other collections are named, and write down what it gives, with how "
        "far each value over several seeds may move, or the score of each query if there is one seed. Computes in "
        "float32 and one thread per seed, whatever the machine. Refuses to loosen a baseline without a reason: to lose "
        "a value, to compute fewer seeds or queries, or to let a value move more than twice as far."
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="where to write it, such as results/baselines/mine.json"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why the baseline may be loosened, which the file keeps")
    add_options(parser, Suite)
    add_options(parser, Computing)
    parser.set_defaults(command=baseline_command)


def add_check(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Check, Computing

    parser.description = (
        "Compute some seeds of a baseline again. Exits 3 with a table if a value moved, in either direction, or is "
        "missing or new."
    )
    parser.add_argument("file", type=Path, metavar="BASELINE", help="a file that bench baseline wrote")
    add_options(parser, Check)
    add_options(parser, Computing)
    parser.set_defaults(command=check_command)


def add_validate(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Validation

    parser.description = (
        "Train a method some times over on a small part of the generated collection, with the tiny encoder, and check "
        "what every method must keep to: the same seed gives the same bytes, also when resumed; the budget is kept to; "
        "what is saved is what is loaded; no test data are looked at; the teacher stays frozen; settings are "
        "documented. Exits 1 if a check fails."
    )
    parser.add_argument(
        "name", metavar="METHOD", help="as for bench run --methods: a name, path/to/file.py:Class, a combination"
    )
    add_options(parser, Validation)
    parser.set_defaults(command=validate_command)


def add_new_method(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a small package with a method that works as it is, a test of it and an entry point, to the folder NAME."
    )
    parser.add_argument("name", metavar="NAME", help="what the method is to be called, as in my-method")
    parser.set_defaults(command=new_method_command)


def add_ls(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Listing

    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", nargs="?", help="say everything about one of them (methods, datasets)")
    add_options(parser, Listing)
    parser.set_defaults(command=ls_command)


def add_inspect(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import InspectAlignment, InspectLeakage, InspectQuery, InspectStatistics, Results

    subjects = parser.add_subparsers(required=True, metavar="subject")
    cell = subjects.add_parser("cell", help="all that is known of one result")
    cell.description = (
        "Show the manifest of a cell: what was asked, what it scored, what was trained on and removed for leakage, "
        "what it cost, what the training says of itself, and by what it was made."
    )
    cell.add_argument(
        "cell",
        metavar="CELL",
        help="a cell's folder, its name in the results folder, or the beginning of a fingerprint",
    )
    add_options(cell, Results)
    forms = cell.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="form", action="store_const", const="json", help="print the manifest as it is")
    forms.add_argument(
        "--ir-metadata", dest="form", action="store_const", const="ir_metadata", help="print the metadata of its run"
    )
    cell.set_defaults(command=inspect_cell_command)
    query = subjects.add_parser("query", help="what each method ranked on top for one query, and why")
    query.description = (
        "Show a query, its judged documents, what each method of a results folder ranked on top, how it scored and "
        "where the first relevant document came; and of methods that align words the transport plan between the "
        "query's words and a document's."
    )
    query.add_argument("query", metavar="ID", help="the id of the query, as run files have it")
    add_options(query, InspectQuery)
    query.set_defaults(command=inspect_query_command)
    leakage = subjects.add_parser("leakage", help="training rows that repeat what a test judges by")
    leakage.description = (
        "List the training rows that repeat, exactly or nearly, what a test collection judges by: its queries, their "
        "translations and its relevant documents. They are removed before training."
    )
    add_options(leakage, InspectLeakage)
    leakage.set_defaults(command=inspect_leakage_command)
    alignment = subjects.add_parser("alignment", help="how well methods align words, before and after training")
    alignment.description = (
        "Train each method on an embedded language, whose true word alignment is known, and print the F1 of the links "
        "between words that are each other's most related: by the mass that the method's loss moves between them, and "
        "by the cosine of their embeddings, before training and after; and by chance. The sentences are the first of "
        "those that are trained on."
    )
    add_options(alignment, InspectAlignment)
    alignment.set_defaults(command=inspect_alignment_command)
    statistics = subjects.add_parser("statistics", help="numbers and lengths of texts, counted again")
    statistics.description = "Count the queries, documents and words of all collections that are at hand."
    add_options(statistics, InspectStatistics)
    statistics.set_defaults(command=inspect_statistics_command)


def add_speed(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Speed

    parser.description = "Time what a package offers to time, under a name in the entry-point group bench.speed."
    parser.add_argument("name", metavar="NAME", help="what to time, such as ot: optimal transport")
    add_options(parser, Speed)
    parser.set_defaults(command=speed_command)


def add_compare(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Versus

    parser.description = (
        "Compare two methods of a results folder, two results folders cell by cell, or two TREC runs by judgments: "
        "differences with intervals, paired randomisation tests over queries, Student's test over seeds and queries "
        "where there are several seeds, Holm's correction over all that is compared, and the queries that differ most."
    )
    parser.add_argument("a", metavar="A", help="a method as leaderboards call it, a results folder, or a run")
    parser.add_argument("b", metavar="B", help="another of the same kind")
    add_options(parser, Versus)
    parser.set_defaults(command=compare_command)


def add_import(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Import

    parser.description = (
        "Let what was made elsewhere join a leaderboard, marked as external: a TREC run (of pyserini, say), which is "
        "scored here by the collection's judgments, or MTEB's results of a task (JSON), of which only means are known."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a TREC run, perhaps gzipped, or MTEB's JSON")
    add_options(parser, Import)
    parser.set_defaults(command=import_command)


def add_reproduce(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Reproduce

    parser.description = (
        "Train and evaluate a cell once more, from its manifest alone and in a scratch folder, and say whether its "
        "numbers are the same, and if not what has changed that could be the reason. Exits 3 if one differs."
    )
    parser.add_argument("cell", metavar="CELL", help="as for bench inspect cell")
    add_options(parser, Reproduce)
    parser.set_defaults(command=reproduce_command)


def add_leaderboard(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Leaderboards

    add_options(parser, Leaderboards)
    parser.set_defaults(command=leaderboard_command)


def add_report(parser: argparse.ArgumentParser) -> None:
    from bench.options import add_options
    from bench.request import Reports

    parser.description = (
        "Write the leaderboards of a results folder, one HTML page that shows everything and needs no network, and "
        "plots as PNG and SVG."
    )
    add_options(parser, Reports)
    parser.set_defaults(command=report_command)


COMMANDS = {
    "run": (add_run, "train methods, evaluate them, print a leaderboard"),
    "fetch": (add_fetch, "download collections and verify them"),
    "baseline": (add_baseline, "write down what a suite gives, for bench check"),
    "check": (add_check, "compute a baseline again and tell what moved"),
    "new-method": (add_new_method, "write a small package with a method, to be changed"),
    "validate": (add_validate, "check that a method keeps to what all methods must"),
    "ls": (add_ls, "list methods, datasets, pairs, encoders or measures"),
    "inspect": (add_inspect, "look into the data, at results and at what is learned"),
    "speed": (add_speed, "time something, such as optimal transport in a training step"),
    "compare": (add_compare, "compare two methods, two results folders or two runs, with significance"),
    "import": (add_import, "let runs and scores that were made elsewhere join a leaderboard"),
    "reproduce": (add_reproduce, "compute a result again from its manifest and compare"),
    "leaderboard": (add_leaderboard, "write and print the leaderboard of a results folder"),
    "report": (add_report, "write a page and plots of a results folder"),
}


def run_command(options: argparse.Namespace) -> int:
    from bench.data.cards import load_cards
    from bench.data.folders import with_folders
    from bench.offline import forbid_network
    from bench.options import check_environment, read_options
    from bench.request import Request, check

    check_environment(Request)
    request = read_options(Request, options)
    cards = with_folders(load_cards(request.cards), request.datasets, request.pairs)
    check(request, cards)
    if request.offline:
        forbid_network()

    from bench.commands import dry_run, run

    return dry_run(request, cards) if options.dry_run else run(request, cards)


def fetch_command(options: argparse.Namespace) -> int:
    from bench.commands import fetch
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import Fetch

    given = read_options(Fetch, options)
    if given.offline:
        forbid_network()
    return fetch(options.names, given)


def baseline_command(options: argparse.Namespace) -> int:
    from bench.commands import baseline
    from bench.options import read_options
    from bench.request import Computing, Suite

    suite = read_options(Suite, options, environment=False)
    return baseline(options.file, suite, read_options(Computing, options), options.reason)


def check_command(options: argparse.Namespace) -> int:
    from bench.commands import check
    from bench.options import read_options
    from bench.request import Check, Computing

    asked = read_options(Check, options, environment=False)
    return check(options.file, asked, read_options(Computing, options))


def new_method_command(options: argparse.Namespace) -> int:
    from bench.commands import new_method

    return new_method(options.name)


def validate_command(options: argparse.Namespace) -> int:
    from bench.options import read_options
    from bench.request import Validation, check_methods

    given = read_options(Validation, options, environment=False)
    check_methods([options.name], given.method)

    from bench.commands import validate

    return validate(options.name, given)


def ls_command(options: argparse.Namespace) -> int:
    from bench.commands import ls
    from bench.options import read_options
    from bench.request import Listing

    return ls(options.kind, options.name, read_options(Listing, options))


def inspect_cell_command(options: argparse.Namespace) -> int:
    from bench.inspection.cell import inspect_cell
    from bench.options import read_options
    from bench.request import Results

    return inspect_cell(options.cell, read_options(Results, options).results, options.form or "")


def inspect_query_command(options: argparse.Namespace) -> int:
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import InspectQuery

    given = read_options(InspectQuery, options)
    forbid_network()

    from bench.inspection.query import inspect_query

    return inspect_query(options.query, given)


def inspect_leakage_command(options: argparse.Namespace) -> int:
    from bench.commands import inspect_leakage
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import InspectLeakage

    given = read_options(InspectLeakage, options)
    if given.offline:
        forbid_network()
    return inspect_leakage(given)


def inspect_alignment_command(options: argparse.Namespace) -> int:
    from bench.commands import inspect_alignment
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import InspectAlignment

    forbid_network()
    return inspect_alignment(read_options(InspectAlignment, options))


def inspect_statistics_command(options: argparse.Namespace) -> int:
    from bench.commands import inspect_statistics
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import InspectStatistics

    forbid_network()
    return inspect_statistics(read_options(InspectStatistics, options))


def speed_command(options: argparse.Namespace) -> int:
    from bench.commands import speed
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import Speed

    given = read_options(Speed, options)
    if given.offline:
        forbid_network()
    return speed(options.name, given)


def compare_command(options: argparse.Namespace) -> int:
    from bench.commands import compare
    from bench.options import read_options
    from bench.request import Versus

    return compare(options.a, options.b, read_options(Versus, options))


def import_command(options: argparse.Namespace) -> int:
    from bench.commands import import_results
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import Import

    given = read_options(Import, options)
    if given.offline:
        forbid_network()
    return import_results(options.file, given)


def reproduce_command(options: argparse.Namespace) -> int:
    from bench.offline import forbid_network
    from bench.options import read_options
    from bench.request import Reproduce

    given = read_options(Reproduce, options)
    if given.offline:
        forbid_network()

    from bench.reproduction import reproduce_cell

    return reproduce_cell(options.cell, given)


def leaderboard_command(options: argparse.Namespace) -> int:
    from bench.commands import leaderboard
    from bench.options import read_options
    from bench.request import Leaderboards

    given = read_options(Leaderboards, options)
    return leaderboard(given)


def report_command(options: argparse.Namespace) -> int:
    from bench.commands import report
    from bench.options import read_options
    from bench.request import Reports

    return report(read_options(Reports, options))
