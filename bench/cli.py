"""The command line: import the module of one command, run it, and turn errors into exit codes."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn, get_type_hints

import bench
from bench.errors import BenchError, describe, unknown
from bench.system.interrupt import remembered_interrupt
from bench.terminal import discard, open_streams, write_error

COMMANDS = {
    "run": ("run:run_command", "train methods, evaluate them, print a leaderboard"),
    "tune": ("tune:tune", "choose the settings of methods on development collections"),
    "fetch": ("collections:fetch", "download collections and verify them"),
    "baseline": ("gate:baseline", "compute a suite and store its values, for bench check"),
    "check": ("gate:check", "compute a baseline again and list the changed values"),
    "new-method": ("authoring:new_method", "write a small package with a working method"),
    "new-card": ("authoring:new_card", "write the card of a collection from files and folders"),
    "new-teacher": ("authoring:new_teacher", "train a late-interaction teacher, for --scoring maxsim"),
    "validate": ("authoring:validate", "check that a method follows the rules of all methods"),
    "ls": ("collections:ls", "list methods, datasets, pairs, encoders, measures or formats"),
    "inspect": ("", "inspect data, results and trained methods"),
    "study": ("", "run, report, check or list studies"),
    "compare": ("results:compare", "compare two methods, results folders or runs, with significance tests"),
    "power": ("power:print_power", "print how often a difference would be significant, by queries and seeds"),
    "import": ("results:import_results", "add results of other software to a leaderboard"),
    "reproduce": ("results:reproduce", "compute a result again from its manifest and compare"),
    "leaderboard": ("results:print_leaderboard", "write and print the leaderboard of a results folder"),
    "report": ("results:report", "write a page and plots of a results folder"),
}
"""The function and the help of each command, in the order of `bench --help`."""
INSPECT = {
    "cell": ("results:inspect_cell", "the manifest of one result"),
    "query": ("results:inspect_query", "the top documents of each method for one query, and their word alignments"),
    "leakage": ("collections:inspect_leakage", "training rows that overlap with test collections"),
    "alignment": ("authoring:inspect_alignment", "the word alignments of methods, before and after training"),
}
STUDY = {
    "run": ("study:study_run", "compute the runs of a study and write its report"),
    "report": ("study:study_report", "write the report of a study again from its stored cells"),
    "check": ("study:study_check", "compute random cells of a study again and compare"),
    "ls": ("study:study_ls", "list studies and their questions"),
}
SUBJECTS = {
    "inspect": ("Inspect data, results and trained methods.", INSPECT),
    "study": ("Answer questions by studies, which state their comparisons before the runs.", STUDY),
}
"""The description and the subjects of commands with subjects."""
KEPT = "finished work is stored; the same command continues"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    open_streams()
    code = 0
    try:
        code = _call(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()  # report an error of the last line, too
        return code
    except BrokenPipeError:  # such as `bench ls methods | head -1`
        discard(sys.stdout.fileno())
        discard(sys.stderr.fileno())
        return 0
    except OSError as error:  # stdout cannot be written, for example because the disk is full
        discard(sys.stdout.fileno())
        with suppress(OSError):
            if not code:  # otherwise an error was reported already
                write_error(f"bench: the output cannot be written: {describe(error)}")
        return code or 1


def _call(arguments: Sequence[str]) -> int:
    """Run one command and turn errors into one line and an exit code."""
    chosen = next((word for word in arguments if not word.startswith("-")), "")
    try:
        options, others = make_parser(chosen).parse_known_args(arguments or ["--help"])
        with remembered_interrupt():
            return _run(options, others)
    except BenchError as error:
        write_error(f"bench: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        write_error(f"bench: interrupted; {KEPT}")
        return 130
    except BrokenPipeError:
        raise
    except (OSError, MemoryError) as error:
        write_error(f"bench: {describe(error)}; {KEPT}")
        return 1


class Parser(argparse.ArgumentParser):
    """A parser that raises `BenchError`."""

    def error(self, message: str) -> NoReturn:
        raise BenchError(f"{message}; see {self.prog} --help")


def make_parser(chosen: str = "") -> argparse.ArgumentParser:
    """Return the parser. Only the command `chosen` has its options, because options import modules."""
    parser = Parser(
        prog="clir-bench" if Path(sys.argv[0]).stem == "clir-bench" else "bench",
        description="Compare training methods for cross-lingual retrieval on low-resource languages: "
        "same student, same data, same budget, one pipeline.",
        epilog="exit codes: 0 done, 1 a cell failed, 2 bad usage or input, 3 a number differs",
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    parsers = _add_commands(parser, "command", COMMANDS)
    if chosen in SUBJECTS:
        parsers[chosen].description, subjects = SUBJECTS[chosen]
        for subject, subparser in _add_commands(parsers[chosen], "subject", subjects).items():
            _add_options(subparser, subjects[subject][0])
    elif chosen in parsers:
        _add_options(parsers[chosen], COMMANDS[chosen][0])
    return parser


def _add_commands(
    parser: argparse.ArgumentParser, metavar: str, commands: Mapping[str, tuple[str, str]]
) -> dict[str, argparse.ArgumentParser]:
    subparsers = parser.add_subparsers(required=True, metavar=metavar)
    return {name: subparsers.add_parser(name, help=help) for name, (_, help) in commands.items()}


def _add_options(parser: argparse.ArgumentParser, place: str) -> None:
    """Import the function of a command, and add the options of its models to its parser."""
    from bench.options import add_options

    module, _, name = place.partition(":")
    function = getattr(import_module(f"bench.commands.{module}"), name)
    models = [kind for parameter, kind in get_type_hints(function).items() if parameter != "return"]
    parser.description = function.__doc__
    for model in models:
        add_options(parser, model)
    parser.set_defaults(function=function, models=models)


def _run(options: argparse.Namespace, others: Sequence[str]) -> int:
    from bench.options import read_options

    if others:
        known = [name.replace("_", "-") for model in options.models for name in model.model_fields]
        raise unknown("option", others[0].lstrip("-").partition("=")[0], known)
    return int(options.function(*(read_options(model, options) for model in options.models)))
