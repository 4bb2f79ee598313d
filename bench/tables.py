"""Tables: rows of texts, as wide as the terminal; elsewhere wide enough that no number is broken into two lines."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 170
"""Columns of text where stdout is no terminal, or more if numbers need them."""
WORDS_WIDTH = 24
"""Columns of text that a table's column of words is given at least, if it has as many."""
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
    """Print one table to stdout; the columns named in `right` are aligned to the right, for they have numbers."""
    from rich import box
    from rich.cells import cell_len
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    console, plain = _console(width), not sys.stdout.isatty()
    for number, column in enumerate(columns):
        longest = max(cell_len(text) for text in (column, *(row[number] for row in rows)))
        numbers = column in right
        least = longest if numbers else min(longest, WORDS_WIDTH)
        table.add_column(
            column,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=plain and numbers,
            min_width=least if plain else None,
        )
    for row in rows:
        table.add_row(*row)
    if plain:
        unlimited = console.options.update(max_width=sys.maxsize)
        console.width = max(width, Measurement.get(console, unlimited, table).minimum)
    console.print(table)


def print_markdown(text: str) -> None:
    """Print Markdown to stdout as it is meant to look."""
    from rich.markdown import Markdown

    _console(TEXT_WIDTH).print(Markdown(text))


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False)
