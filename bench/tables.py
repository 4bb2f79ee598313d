"""Tables of texts as wide as the terminal; without one, wide enough that no number is broken into two lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bench.terminal import one_line, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

PLAIN_WIDTH = 170
"""Characters per line if stdout is no terminal; more if numbers need them."""
WORDS_WIDTH = 24
"""Least width of a column of words, unless it has shorter texts only."""
TEXT_WIDTH = 118
"""`PLAIN_WIDTH` of tables that are mostly words."""
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠].", re.DOTALL)
"""The beginning of a cell that a spreadsheet runs as a formula, unless it is a number."""
MARKDOWN = re.compile(r"[\\`*<|]|\[(?=[^\]]*\][\[(:])|:(?=//)|(?<=www)\.")
"""The characters that begin code, emphasis, HTML, a cell or a link."""


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

    right = {one_line(name) for name in right}
    columns, rows = [one_line(name) for name in columns], [[one_line(cell) for cell in row] for row in rows]
    table = Table(
        title=one_line(title) or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
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

    _console(TEXT_WIDTH).print(Markdown(printable(text)))


def frame_csv(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a frame as CSV for other programs. A cell that a spreadsheet would run gets a leading apostrophe."""
    import pandas as pd

    texts = frame.select_dtypes(exclude="number").items()
    inert = {str(name): pd.Series(list(map(_inert, column)), column.index, dtype=object) for name, column in texts}
    safe = frame.assign(**inert).rename(columns=_inert)
    return str(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    if cell == cell.strip():  # float reads "\r0" as 0
        with suppress(ValueError):
            float(cell)
            return cell
    return printable(f"'{cell}" if FORMULA.match(cell) else cell)


def escape_markdown(text: str) -> str:
    """Return one line of Markdown that shows the text."""
    return MARKDOWN.sub(r"\\\g<0>", one_line(text))


def shortened(text: str, length: int) -> str:
    """Return the text in one line of at most `length` characters and an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False, emoji=False)
