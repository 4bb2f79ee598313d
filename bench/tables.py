"""Tables and texts on stdout, at most as wide as the terminal. No number, interval or name is broken.

The width is that of the terminal or of the variable `COLUMNS`, or `WIDTH` in a pipe.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from bench.terminal import one_line, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

WIDTH = 120
"""Characters per line in a pipe."""
TEXT_WIDTH = 118
"""Maximum of characters per line of prose."""
MAJOR = 2
"""Highest priority of columns for which names are shortened to `NAME_WIDTH`."""
NAME_WIDTH = 18
"""Minimum width of a column of names, unless all are shorter."""
LONGEST_NAME = 32
"""Maximum width of a column of names that grows to keep shortened names distinct."""
WORDS_WIDTH = 24
"""Minimum width of a column of texts, unless all are shorter."""
LONGEST_WORD = 40
"""Width of a column of texts up to which no word is broken."""
GAP = 2
"""Characters between two columns."""
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠].", re.DOTALL)
"""The beginning of a cell that a spreadsheet runs as a formula, except for numbers."""
MARKDOWN = re.compile(r"[\\`*<|]|\[(?=[^\]]*\][\[(:])|:(?=//)|(?<=www)\.")
"""Special characters of Markdown: code, emphasis, HTML, cells and links."""


@dataclass(frozen=True)
class Column:
    """A column of a printed table."""

    name: str
    kind: Literal["number", "word", "name", "text"] = "number"
    """Numbers are aligned to the right. They and words are shown whole, names are shortened in the middle where there
    is no room, texts continue in the next line.
    """
    priority: int = 0
    """0: always shown. The others are left out where there is no room, those with the highest number first. Those above
    `MAJOR` also leave room for names of `LONGEST_NAME`.
    """


@dataclass(frozen=True)
class _Filled:
    """A column with its printable cells."""

    column: Column
    head: str
    cells: Sequence[str]

    @cached_property
    def most(self) -> int:
        """The width at which every cell fits into one line."""
        return max(map(_length, (self.head, *self.cells)))

    @cached_property
    def least(self) -> int:
        """The smallest width with whole words, and distinct names if `LONGEST_NAME` suffices."""
        if self.column.kind == "text":
            words = (word for cell in self.cells for word in cell.split())
            return min(
                self.most, max([WORDS_WIDTH, _length(self.head), *(min(_length(w), LONGEST_WORD) for w in words)])
            )
        if self.column.kind != "name":
            return self.most
        most = min(self.most, max(LONGEST_NAME, _length(self.head)))
        widths = range(max(NAME_WIDTH, _length(self.head)), most)
        return next((width for width in widths if len(set(self.fitted(width))) == len(set(self.cells))), most)

    def fitted(self, width: int) -> list[str]:
        """Return the cells with shortened names. The ellipsis is moved from the middle if names would be equal."""
        if self.column.kind != "name":
            return list(self.cells)
        for share in (1 / 2, 1 / 4, 3 / 4, 0):
            texts = [middle(name, width, int(share * (width - 1))) for name in self.cells]
            if len(set(texts)) == len(set(self.cells)):
                return texts
        return [middle(name, width, (width - 1) // 2) for name in self.cells]


def print_table(
    columns: Sequence[str | Column],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    right: Collection[str] = (),
    notes: Sequence[str] = (),
    wide: bool = False,
) -> None:
    """Print a table with a title and notes, and an empty line.

    A column without a description has texts, or numbers if it is in `right`. If the table is too wide, columns are left
    out by priority, and a note names them. With `wide` none is left out. Columns that still do not fit are printed in a
    table below, which repeats the columns up to the name.
    """
    described = [
        each if isinstance(each, Column) else Column(each, "number" if each in right else "text") for each in columns
    ]
    filled = [
        _Filled(column, one_line(column.name), [one_line(row[i]) for row in rows]) for i, column in enumerate(described)
    ]
    width = line_width()
    shown = filled if wide else _chosen(filled, width)
    if left_out := "; ".join(each.head for each in filled if each not in shown):
        notes = [*notes, f"not shown: {left_out}. --wide shows all columns"]
    if title:
        print_text(title, style="bold")
    for i, block in enumerate(_blocks(shown, width)):
        if i:
            _console(width).print()
        _print_block(block, width)
    for note in notes:
        print_text(note, indent=1)
    _console(width).print()


def _chosen(columns: Sequence[_Filled], width: int) -> list[_Filled]:
    """Return the columns to show."""
    shown = list(columns)
    while (last := max(reversed(shown), key=lambda each: each.column.priority)).column.priority:
        if _least(shown, NAME_WIDTH if last.column.priority <= MAJOR else LONGEST_NAME) <= width:
            break
        shown.remove(last)
    return shown


def _least(columns: Sequence[_Filled], names: int = NAME_WIDTH) -> int:
    """Return the smallest width of a table in which names have `names` characters, or fewer if they are shorter."""
    return sum(max(each.least, min(each.most, names)) for each in columns) + GAP * (len(columns) - 1)


def _blocks(columns: Sequence[_Filled], width: int) -> Iterator[list[_Filled]]:
    """Yield the columns of each printed table, all with the same first columns."""
    kinds = [each.column.kind for each in columns]
    key = list(columns[: kinds.index("name") + 1 if "name" in kinds else 1])
    block = list(key)
    for column in columns[len(key) :]:
        if len(block) > len(key) and _least([*block, column]) > width:
            yield block
            block = list(key)
        block.append(column)
    yield block


def _print_block(block: Sequence[_Filled], width: int) -> None:
    from rich import box
    from rich.table import Table

    widths = [each.least for each in block]
    spare = width - _least(block)
    for kind in ("name", "text"):
        wanting = sorted((each.most - each.least, i) for i, each in enumerate(block) if each.column.kind == kind)
        for others, (more, i) in zip(range(len(wanting), 0, -1), wanting, strict=True):
            more = max(min(more, spare // others), 0)
            widths[i] += more
            spare -= more
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for each, own in zip(block, widths, strict=True):
        side: Literal["left", "right"] = "right" if each.column.kind == "number" else "left"
        table.add_column(each.head, justify=side, width=own, no_wrap=each.column.kind != "text", overflow="fold")
    for row in zip(*(each.fitted(own) for each, own in zip(block, widths, strict=True)), strict=True):
        table.add_row(*row)
    _console(max(width, sum(widths) + GAP * (len(widths) - 1))).print(table)


def line_width() -> int:
    """Return the width of a line."""
    return shutil.get_terminal_size((WIDTH, 0)).columns


def middle(name: str, width: int, tail: int) -> str:
    """Return a name in at most `width` characters of a terminal, with an ellipsis before the last `tail`."""
    if _length(name) <= width:
        return name
    from rich.cells import set_cell_size

    return f"{set_cell_size(name, width - 1 - tail).rstrip()}…{set_cell_size(name[::-1], tail)[::-1].lstrip()}"


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def print_text(text: str, *, indent: int = 0, style: str = "") -> None:
    """Print a text in several lines without broken words."""
    lines = textwrap.wrap(one_line(text), line_width() - indent, break_long_words=False, break_on_hyphens=False)
    _console(line_width()).print("\n".join(" " * indent + line for line in lines), style=style, soft_wrap=True)


def print_markdown(text: str) -> None:
    """Print rendered Markdown to stdout."""
    from rich.markdown import Markdown

    _console(min(line_width(), TEXT_WIDTH)).print(Markdown(printable(text)))


def frame_csv(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a frame as CSV. A cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    import pandas as pd

    texts = frame.select_dtypes(exclude="number").items()
    inert = {str(name): pd.Series(list(map(_inert, column)), column.index, dtype=object) for name, column in texts}
    safe = frame.assign(**inert).rename(columns=_inert)
    return str(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    if cell == cell.strip():  # float parses "\r0" as 0
        with suppress(ValueError):
            float(cell)
            return cell
    return printable(f"'{cell}" if FORMULA.match(cell) else cell)


def escape_markdown(text: str) -> str:
    """Return the text as one line, escaped for Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", one_line(text))


def shortened(text: str, length: int) -> str:
    """Return the text as one line of at most `length` characters and an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"


def _console(width: int) -> Console:
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            """Let the command line end as with any output; rich would exit with 1."""
            raise BrokenPipeError

    return Quiet(width=width, highlight=False, markup=False, emoji=False)
