"""The commands: each is a function from its options to an exit code, whose docstring is its text in `--help`.

What is heavy is imported by a function only after its options are read.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Function = TypeVar("Function", bound=Callable[..., int])
AddArgument = Callable[[ArgumentParser], str]

COMMANDS = {
    "run": ("run:run_command", "train methods, evaluate them, print a leaderboard"),
    "fetch": ("collections:fetch", "download collections and verify them"),
    "baseline": ("gate:baseline", "compute a suite and store its values, for bench check"),
    "check": ("gate:check", "compute a baseline again and list the changed values"),
    "new-method": ("authoring:new_method", "write a small package with a method, as a start"),
    "validate": ("authoring:validate", "check that a method meets the contract of all methods"),
    "ls": ("collections:ls", "list methods, datasets, pairs, encoders or measures"),
    "inspect": ("", "inspect data, results and trained methods"),
    "compare": ("results:compare", "compare two methods, two results folders or two runs, with significance"),
    "import": ("results:import_results", "add runs and scores of other software to a leaderboard"),
    "reproduce": ("results:reproduce", "compute a result again from its manifest and compare"),
    "leaderboard": ("results:print_leaderboard", "write and print the leaderboard of a results folder"),
    "report": ("results:report", "write a page and plots of a results folder"),
}
"""The place and the line of help of each command, in the order of `bench --help`."""
INSPECT = {
    "cell": ("results:inspect_cell", "the manifest of one result"),
    "query": ("results:inspect_query", "the top documents of each method for one query, and their word alignments"),
    "leakage": ("collections:inspect_leakage", "training rows that overlap with test collections"),
    "alignment": (
        "authoring:inspect_alignment",
        "the word alignments of methods, before and after training",
    ),
}
"""The same for the subjects of `bench inspect`."""


class Command(NamedTuple):
    """A function that is called with the models of its options, then with its arguments."""

    function: Callable[..., int]
    models: list[type[BaseModel]]
    arguments: list[AddArgument]
    epilog: str | None


DEFINED: dict[Callable[..., int], Command] = {}
"""The commands whose modules are imported, by their functions."""


def argument(flag: str, **how: Any) -> AddArgument:
    """Return a function that adds an argument, which is no field of a model, to a parser and returns its name."""
    return lambda parser: parser.add_argument(flag, **how).dest


def command(*parts: type[BaseModel] | AddArgument, epilog: str | None = None) -> Callable[[Function], Function]:
    """Make a function a command with the options of some models and with further arguments."""

    def define(function: Function) -> Function:
        models = [part for part in parts if isinstance(part, type)]
        arguments = [part for part in parts if not isinstance(part, type)]
        DEFINED[function] = Command(function, models, arguments, epilog)
        return function

    return define
