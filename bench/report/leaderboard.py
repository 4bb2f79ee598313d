"""Leaderboards: frames made from finished cells alone. docs/leaderboards.md describes the columns of their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.report.comparison import COMPARISON, STANDING, standings
from bench.results.store import Record, Store
from bench.results.systems import boards, gather
from bench.spec import BOARD, COLUMNS, SYSTEM
from bench.statistics.intervals import DECIMALS, query_bootstrap

BASELINE = "zero-shot"
"""The default baseline of significance tests."""
APART = {column.name: column.apart for column in COLUMNS if column.apart}
NUMBERS = {column.name for column in COLUMNS if column.number}
LONG = [*SYSTEM, "seed", "measure", "value", "low", "high", "queries", "cell"]
PER_MEASURE = {"mean": "", "sd": " sd", "low": " low", "high": " high", "rank": " rank", "p": " p"}
"""The values of each measure in `leaderboard-wide.csv`, and what follows the measure in the names of their columns."""
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

    `boards` are the systems by collection, pair and encoder. `systems` are in the order of the boards; frames refer to
    a system by its index. `measures` are in the order of their first cell.
    """

    def __init__(self, cells: Sequence[Record], store: Store, baseline: str = BASELINE, notes: Sequence[str] = ()):
        self.cells, self.store, self.baseline, self.notes = cells, store, baseline, notes
        found = gather(cells)
        self.measures = list(dict.fromkeys(measure for system in found for measure in system.measures))
        self.boards = [members for _, members in sorted(boards(found).items())]
        self.systems = [system for members in self.boards for system in members]

    @cached_property
    def names(self) -> pd.DataFrame:
        """The columns of each system, with its `name` and the index of its `board`."""
        members = [(i, system) for i, systems in enumerate(self.boards) for system in systems]
        rows = [{**system.spec.columns, "name": system.name, "board": i} for i, system in members]
        return pd.DataFrame(rows, columns=[*SYSTEM, "name", "board"])

    @cached_property
    def labels(self) -> list[tuple[str, ...]]:
        """The method of each system, its settings, and the differences from other systems of that name, such as `budget
        600steps`. Systems that differ in nothing but the board share a label.
        """
        differ = (self.names.groupby(["board", "name"])[list(APART)].nunique() > 1).groupby("name").any()
        found = []
        for system in self.systems:
            apart = (text(system.spec) for name, text in APART.items() if differ.loc[system.name, name])
            found.append(
                tuple(filter(None, dict.fromkeys((system.spec.method, system.spec.columns["config"], *apart))))
            )
        return found

    @cached_property
    def titles(self) -> list[str]:
        """Collection, pair, number of queries and encoder of each board."""
        titles = []
        for systems in self.boards:
            dataset, pair, encoder = systems[0].spec.board
            queries = max(len(system.queries) for system in systems)
            titles.append(f"{dataset} {pair}, {queries:,} queries, encoder {Path(encoder).name}")
        return titles

    @cached_property
    def _frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        found = [standings(members, measure, self.baseline) for members in self.boards for measure in self.measures]
        place = {system: i for i, system in enumerate(self.systems)}
        ranked = _joined([frame for frame, _ in found], STANDING)
        compared = _joined([frame for _, frame in found], COMPARISON)
        places = {side: compared[side].map(place).astype(int) for side in "ab"}
        return ranked.assign(system=ranked["system"].map(place).astype(int)), compared.assign(**places)

    @property
    def standings(self) -> pd.DataFrame:
        """The frame of `bench.report.comparison.standings` for all boards and measures."""
        return self._frames[0]

    @property
    def comparisons(self) -> pd.DataFrame:
        """The frame of `bench.report.comparison.compare` for all pairs of each board, by each measure."""
        return self._frames[1]

    @cached_property
    def wide(self) -> pd.DataFrame:
        """A row per system: for each measure the mean, its spread over seeds, its interval, the rank and the corrected
        p-value against the baseline.
        """
        sizes = [{"seeds": len(system.seeds), "queries": len(system.queries)} for system in self.systems]
        frame = self.names[SYSTEM].join(pd.DataFrame(sizes))
        frame["interval"] = self.standings.groupby("system")["interval"].last()
        frame["baseline"] = self.baseline
        for measure in self.measures:
            values = self.standings[self.standings["measure"] == measure].set_index("system")[list(PER_MEASURE)]
            frame = frame.join(values.set_axis([f"{measure}{part}" for part in PER_MEASURE.values()], axis=1))
        return _sorted(frame.round(DECIMALS))

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """A row per pair of systems of a board and measure."""
        frame = self.comparisons.join(self.names[list(BOARD)], on="a")
        for side in "ab":
            frame = frame.join(self.names[COMPARED].add_suffix(f"_{side}"), on=side)
        order = [*BOARD, "measure", *(f"{column}_{side}" for side in "ab" for column in COMPARED)]
        return frame[COMPARISONS].round(DECIMALS).sort_values(order, kind="stable")


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


def diagnostics_text(diagnostics: Mapping[str, float]) -> str:
    """Return diagnostics as `probe_accuracy=0.950`; integers, which are counts, have no decimals."""
    return " ".join(
        f"{name}={value if isinstance(value, int) else format(value, '.3f')}" for name, value in diagnostics.items()
    )


def _joined(frames: Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    first = ("dataset", "pair", "encoder", "measure", "method")
    order = dict.fromkeys([*first, *(column.name for column in COLUMNS)])
    return frame.sort_values(
        [column for column in order if column in frame.columns],
        kind="stable",
        key=lambda column: pd.to_numeric(column) if column.name in NUMBERS else column,
    )
