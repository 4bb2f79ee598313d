"""Tables on the terminal: rows of texts, as wide as the terminal or, elsewhere, as they need to be."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

PLAIN_WIDTH = 170
"""Columns of text where stdout is no terminal."""


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", right: Collection[str] = ()
) -> None:
    """Print one table to stdout; the columns named in `right` are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False)
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
