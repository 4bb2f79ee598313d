"""Tables of texts as wide as the terminal; without one, wide enough that no number is broken into two lines."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 170
"""Characters per line if stdout is no terminal; more if numbers need them."""
WORDS_WIDTH = 24
"""Least width of a column of words, unless it has shorter texts only."""
TEXT_WIDTH = 118
"""`PLAIN_WIDTH` of tables that are mostly words."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    right: Collection[str] = (),
    width: int = PLAIN_WIDTH,
) -> None:
    """Print a table to stdout; the columns in `right` have numbers and are aligned to the right."""
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
    """Print rendered Markdown to stdout."""
    from rich.markdown import Markdown

    _console(TEXT_WIDTH).print(Markdown(text))


def shortened(text: str, length: int) -> str:
    """Return the text in one line of at most `length` characters and an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False)
