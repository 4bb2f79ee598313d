"""The command line: finds the module of a command, the only one that is imported, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import keyword
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import bench
from bench import commands
from bench.errors import BenchError, describe
from bench.interrupt import remembered_interrupt

KEPT = "what is finished is kept, the same command goes on from there"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
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
    """The parser; only the command `chosen` has its options, because they import what describes them."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Compare training methods for cross-lingual retrieval on low-resource languages: "
        "same student, same data, same budget, one pipeline.",
        epilog="exit codes: 0 done, 1 a cell failed, 2 bad usage or input, 3 a number differs",
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for name, help in commands.COMMANDS.items():
        command = subparsers.add_parser(name, help=help)
        if name == chosen:
            add_command(command, commands.__name__, name)
    return parser


def add_command(parser: argparse.ArgumentParser, package: str, name: str) -> None:
    """Let a parser read what the module of a command asks for, or the package of one that has commands of its own."""
    stem = name.replace("-", "_")
    module = import_module(f"{package}.{stem}{'_' if keyword.iskeyword(stem) else ''}")
    parser.description = module.__doc__
    if not hasattr(module, "COMMANDS"):
        module.add_arguments(parser)
        parser.set_defaults(command=module.main)
        return
    subparsers = parser.add_subparsers(required=True, metavar="subject")
    for subject, help in module.COMMANDS.items():
        add_command(subparsers.add_parser(subject, help=help), module.__name__, subject)
