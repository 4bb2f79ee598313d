"""The texts of systems, boards and numbers, equal in all tables, plots and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.results.systems import Boards, System
from bench.spec import BOARD, COLUMNS

APART = {column.name: column.apart for column in COLUMNS if column.apart}


class Label(NamedTuple):
    """The name of a system; systems of several boards that differ in nothing but the board share it."""

    method: str
    config: str = ""
    apart: tuple[str, ...] = ()
    """The differences from other systems of its method and settings, such as `budget 600steps`."""

    @property
    def details(self) -> tuple[str, ...]:
        """Its settings, if it has any, and its differences from namesakes."""
        return (*filter(None, [self.config]), *self.apart)


def labels(boards: Boards) -> dict[System, Label]:
    """Return the label of each system; labels are unique within a board."""
    systems = [system for members in boards.values() for system in members]
    rows = [{**system.spec.columns, "name": system.name} for system in systems]
    frame = pd.DataFrame(rows, columns=[*BOARD, *APART, "name"])
    differ = (frame.groupby([*BOARD, "name"])[list(APART)].nunique() > 1).groupby("name").any()
    return {
        system: Label(
            system.spec.method,
            system.spec.columns["config"],
            tuple(dict.fromkeys(text(system.spec) for name, text in APART.items() if differ.loc[system.name, name])),
        )
        for system in systems
    }


def title(board: tuple[str, ...], systems: Sequence[System]) -> str:
    """Return the title of a board: collection, pair, number of queries and encoder."""
    dataset, pair, encoder = board
    queries = max(len(system.queries) for system in systems)
    return f"{dataset} {pair}, {queries:,} queries, encoder {Path(encoder).name}"


def figure(system: System, measure: str) -> str:
    """Return a mean with three decimals; `-` if the system has none."""
    return f"{system.mean(measure):.3f}" if measure in system.measures else "-"


def p_value(p: float | None, digits: int = 3) -> str:
    """Return a p-value without its leading zero, as `.012`; `<.001` if it is less than the last digit, `-` for None."""
    if p is None:
        return "-"
    least = 10**-digits
    sign, shown = ("<", least) if p < least else ("", p)
    return sign + f"{shown:.{digits}f}".removeprefix("0")


def diagnostics_text(diagnostics: Mapping[str, float]) -> str:
    """Return diagnostics as `probe_accuracy=0.950`; integers, which are counts, have no decimals."""
    return " ".join(
        f"{name}={value if isinstance(value, int) else format(value, '.3f')}" for name, value in diagnostics.items()
    )
