"""Copy the pages of the site to a folder, and add a page of commands made from the parser.

Files keep their places, so that a link is valid on GitHub and on the site alike.
"""

import os
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from bench.cli import COMMANDS, SUBJECTS, make_parser

ROOT = Path(__file__).parents[2]
SOURCES = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "docs/**/*.md",
    "docs/*.png",
    "docs/*.ipynb",
    "results/**/*.md",
    "results/**/*.png",
)


def parsers() -> Iterator[ArgumentParser]:
    """Yield the parser of each command and subject, in the order of `bench --help`."""
    for name in COMMANDS:
        parser = _choices(make_parser(name))[name]
        yield from _choices(parser).values() if name in SUBJECTS else [parser]


def _choices(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    return next(dict(action.choices) for action in parser._actions if isinstance(action.choices, dict))


def commands() -> str:
    """Return the help of every command as Markdown."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    parts = ["# Commands", "This page is made from the help texts of the program."]
    for parser in (make_parser(), *parsers()):
        parts += [f"## {parser.prog}", f"```text\n{parser.format_help().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    for file in (file for pattern in SOURCES for file in ROOT.glob(pattern)):
        place = target / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    (target / "docs" / "commands.md").write_text(commands(), encoding="utf-8")
