"""Leaderboards: frames made from finished cells alone, and their files. docs/leaderboards.md describes their columns.

The same seed gives the same bytes of all files but `cost.csv`, since costs differ from run to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.report.comparison import Comparison, Standing, standings
from bench.report.labels import diagnostics_text
from bench.report.languages import bitext_of, gap_frame, share_frame
from bench.report.tables import latex_document, markdown, remarks, tables
from bench.results.store import Record, Store
from bench.results.systems import Boards, System, boards, gather
from bench.spec import BOARD, COLUMNS, SYSTEM
from bench.statistics.intervals import query_bootstrap, rounded
from bench.storage.atomic import atomic_write

BASELINE = "zero-shot"
"""The default baseline of significance tests."""
NUMBERS = {column.name for column in COLUMNS if column.number}
LONG = [*SYSTEM, "seed", "measure", "value", "low", "high", "queries", "cell"]
PER_MEASURE = {"": "mean", " sd": "sd", " low": "low", " high": "high", " rank": "rank", " p": "p"}
"""The columns of each measure in `leaderboard-wide.csv`, appended to its name, and their values."""
COMPARED = [name for name in SYSTEM if name not in (*BOARD, "supervision")]
"""The columns that distinguish two systems of a board."""
COMPARISONS = [
    *BOARD,
    *(f"{column}_{side}" for side in "ab" for column in COMPARED),
    *("measure", "mean_a", "mean_b", "difference", "low", "high", "interval", "effect"),
    *("p_queries", "p_seeds", "p_holm", "family", "queries", "seeds_a", "seeds_b"),
]


class Leaderboard:
    """The leaderboard of some cells. `notes` has a line for each reason why cells of the folder are left out.

    `systems` are also grouped to `boards`, by collection, pair and encoder; `measures` are in the order of their first
    system.
    """

    def __init__(self, cells: Sequence[Record], store: Store, baseline: str = BASELINE, notes: Sequence[str] = ()):
        self.cells, self.store, self.baseline, self.notes = cells, store, baseline, notes
        self.systems = gather(cells)
        self.boards: Boards = boards(self.systems)
        self.measures = list(dict.fromkeys(measure for system in self.systems for measure in system.measures))

    @cached_property
    def _standings(self) -> list[tuple[str, dict[System, Standing], list[Comparison]]]:
        return [
            (measure, *standings(systems, measure, self.baseline))
            for systems in self.boards.values()
            for measure in self.measures
        ]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All pairs of each board, by each measure."""
        return [comparison for _, _, compared in self._standings for comparison in compared]

    @cached_property
    def standings(self) -> dict[tuple[System, str], Standing]:
        """The standings by system and measure."""
        return {(system, measure): found[system] for measure, found, _ in self._standings for system in found}

    @cached_property
    def wide(self) -> pd.DataFrame:
        """A row per system: for each measure the mean, its spread over seeds, its interval, the rank and the corrected
        p-value against the baseline.
        """
        rows = []
        for system in self.systems:
            row: dict[str, Any] = {name: system.spec.columns[name] for name in SYSTEM}
            row |= {"seeds": len(system.seeds), "queries": len(system.queries), "interval": ""}
            row["baseline"] = self.baseline
            for measure in self.measures:
                numbers: dict[str, Any] = {"mean": system.reported.get(measure)}
                if standing := self.standings.get((system, measure)):
                    numbers, row["interval"] = standing.numbers, standing.mean.kind
                row |= {f"{measure}{part}": numbers.get(name) for part, name in PER_MEASURE.items()}
            rows.append(row)
        return _sorted(pd.DataFrame(rows))

    def tables(self, measures: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
        """Return the tables to read, by their titles. Raises `BenchError` if no cell has scores by any measure."""
        shown = [measure for measure in measures or self.measures if measure in self.measures]
        if not shown:
            raise BenchError(f"no cell was scored by {', '.join(measures)}; scored: {', '.join(self.measures)}")
        return tables(self.boards, self.standings, shown, self.baseline)

    @cached_property
    def remarks(self) -> dict[str, list[str]]:
        """The lines below the tables, by their titles."""
        return remarks(self.boards)

    def write(self, folder: Path | None = None) -> list[Path]:
        """Write the files to a folder, by default the results folder, and return their paths."""
        folder = folder or self.store.root
        frames = {
            "leaderboard.csv": long_frame(self.cells),
            "leaderboard-wide.csv": self.wide,
            "comparisons.csv": comparison_frame(self.comparisons),
            "cost.csv": cost_frame(self.cells),
            "languages.csv": share_frame(self.cells),
            "gaps.csv": gap_frame(self.systems, bitext_of(self.cells)),
        }
        contents = {
            name: frame.to_csv(index=False, lineterminator="\n")
            for name, frame in frames.items()
            if len(frame) or name not in ("languages.csv", "gaps.csv")
        }
        contents["leaderboard.md"] = "\n".join(
            "\n\n".join([f"### {title}", markdown(table), *self.remarks[title]]) + "\n"
            for title, table in self.tables().items()
        )
        contents["leaderboard.tex"] = latex_document(self.boards, self.standings, self.measures, self.baseline)
        for name, text in contents.items():
            with atomic_write(folder / name) as file:
                file.write(text)
        return [folder / name for name in contents]


def leaderboard(store: Store, baseline: str = BASELINE) -> Leaderboard:
    """Return the leaderboard of a results folder. Raises `BenchError` if it holds no finished cell."""
    contents = store.contents()
    return Leaderboard(contents.cells, store, baseline, contents.notes)


def long_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return one row per cell and measure: the mean over queries with its 95 % bootstrap interval over queries."""
    rows: list[dict[str, Any]] = []
    scored: dict[int, np.ndarray] = {}
    for cell in cells:
        about = {**cell.spec.columns, "cell": cell.fingerprint[:12]}
        for measure, scores in cell.scores.items():
            scored[len(rows)] = np.array(list(scores.values()), dtype=float)
            rows.append({**about, "measure": measure, "queries": len(scores)})
        for measure, value in cell.manifest.get("reported", {}).items():
            rows.append({**about, "measure": measure, "queries": 0, "value": value})
    for i, interval in zip(scored, query_bootstrap(list(scored.values())), strict=True):
        rows[i] |= {"value": interval.mean, "low": interval.low, "high": interval.high}
    return _sorted(pd.DataFrame(rows, columns=LONG))


def comparison_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Return one row per pair of systems and measure."""
    rows = []
    for each in comparisons:
        row: dict[str, Any] = {column: each.a.spec.columns[column] for column in BOARD}
        for side, system, mean, seeds in zip(
            "ab", (each.a, each.b), (each.mean_a, each.mean_b), each.seeds, strict=True
        ):
            row |= {f"{column}_{side}": system.spec.columns[column] for column in COMPARED}
            row |= {f"mean_{side}": rounded(mean), f"seeds_{side}": seeds}
        row |= {"measure": each.measure, "interval": each.difference.kind, "queries": len(each.queries)}
        rows.append(row | each.numbers)
    order = [*BOARD, "measure", *(f"{column}_{side}" for side in "ab" for column in COMPARED)]
    return pd.DataFrame(rows, columns=COMPARISONS).sort_values(order, kind="stable")


def cost_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return the cost of each cell's training and evaluation: seconds, steps, tokens, MiB."""
    rows = []
    for cell in cells:
        training = {"seconds": None, "cpu_seconds": None, **cell.trained.get("cost", {})}
        row: dict[str, Any] = {**cell.spec.columns}
        row |= {f"training_{name}": value for name, value in training.items()}
        row |= {f"evaluation_{name}": value for name, value in cell.manifest["cost"].items()}
        row["documents_cached"] = cell.manifest["documents_cached"]
        row["diagnostics"] = diagnostics_text(cell.trained.get("diagnostics", {}))
        rows.append(row)
    return _sorted(pd.DataFrame(rows)).rename(columns=lambda name: name.replace("training_trained_", "trained_"))


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    first = ("dataset", "pair", "encoder", "measure", "method")
    order = dict.fromkeys([*first, *(column.name for column in COLUMNS)])
    return frame.sort_values(
        [column for column in order if column in frame.columns],
        kind="stable",
        key=lambda column: pd.to_numeric(column) if column.name in NUMBERS else column,
    )
