"""Tables on the terminal: rows of texts, as wide as the terminal or, elsewhere, as they need to be."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 170
"""Columns of text where stdout is no terminal."""
TEXT_WIDTH = 118
"""The same for what is mostly words."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    right: Collection[str] = (),
    width: int = PLAIN_WIDTH,
) -> None:
    """Print one table to stdout; the columns named in `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console(width).print(table)


def print_markdown(text: str) -> None:
    """Print Markdown to stdout as it is meant to look."""
    from rich.markdown import Markdown

    _console(TEXT_WIDTH).print(Markdown(text))


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False)
