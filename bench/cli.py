"""The command line: imports the module of one command, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module

import bench
from bench.commands import COMMANDS, DEFINED, INSPECT, Command
from bench.errors import BenchError, describe
from bench.system.interrupt import remembered_interrupt

KEPT = "what is finished is kept, the same command goes on from there"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = make_parser(next((word for word in arguments if not word.startswith("-")), "")).parse_args(arguments)
    try:
        with remembered_interrupt():
            return int(options.command(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"bench: interrupted; {KEPT}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        print(f"bench: {describe(error)}; {KEPT}", file=sys.stderr)
        return 1


def make_parser(chosen: str = "") -> argparse.ArgumentParser:
    """Return the parser; only the command `chosen` has its options, because they import the modules they need."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Compare training methods for cross-lingual retrieval on low-resource languages: "
        "same student, same data, same budget, one pipeline.",
        epilog="exit codes: 0 done, 1 a cell failed, 2 bad usage or input, 3 a number differs",
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    parsers = _add_commands(parser, "command", COMMANDS)
    if chosen == "inspect":
        parsers[chosen].description = "Inspect data, results and trained methods."
        for subject, subparser in _add_commands(parsers[chosen], "subject", INSPECT).items():
            _add_options(subparser, INSPECT[subject][0])
    elif chosen in parsers:
        _add_options(parsers[chosen], COMMANDS[chosen][0])
    return parser


def _add_commands(
    parser: argparse.ArgumentParser, metavar: str, commands: Mapping[str, tuple[str, str]]
) -> dict[str, argparse.ArgumentParser]:
    subparsers = parser.add_subparsers(required=True, metavar=metavar)
    return {name: subparsers.add_parser(name, help=help) for name, (_, help) in commands.items()}


def _add_options(parser: argparse.ArgumentParser, place: str) -> None:
    """Import the function of a command, and add its options to its parser."""
    from bench.options import add_options

    module, _, name = place.partition(":")
    command = DEFINED[getattr(import_module(f"bench.commands.{module}"), name)]
    parser.description, parser.epilog = command.function.__doc__, command.epilog
    for model in command.models:
        add_options(parser, model)
    names = [add(parser) for add in command.arguments]
    parser.set_defaults(command=partial(_call, command, names))


def _call(command: Command, names: Sequence[str], options: argparse.Namespace) -> int:
    from bench.options import read_options

    models = [read_options(model, options) for model in command.models]
    return command.function(*models, *(getattr(options, name) for name in dict.fromkeys(names)))
