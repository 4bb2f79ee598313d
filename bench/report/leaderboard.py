"""Leaderboards: frames made from finished cells alone, and their files.

`leaderboard.csv` is long, one row per method, collection, pair, seed and measure; `leaderboard-wide.csv` has the
measures as columns, over all seeds, with intervals and significance; `comparisons.csv` every pair of systems;
`cost.csv` what was spent. Costs differ from run to run, so they are kept apart: all else is the same bytes for the same
seed. Where there is something to say, `languages.csv` and `gaps.csv` tell how fair systems are to languages.
docs/leaderboards.md says what each column means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.atomic import atomic_write
from bench.errors import BenchError
from bench.report import diagnostics
from bench.report.comparison import Comparison, Standing, standings
from bench.report.languages import bitext_of, gap_frame, share_frame
from bench.report.latex import latex_document
from bench.report.tables import markdown, remarks, tables
from bench.results.store import Record, Store
from bench.results.systems import Boards, System, boards, gather
from bench.spec import BOARD, COLUMNS, SYSTEM, RunSpec
from bench.statistics.intervals import DECIMALS, query_bootstrap

BASELINE = "zero-shot"
"""What significance is tested against unless another method is named."""
FIRST = ("dataset", "pair", "encoder", "measure", "method")
"""The columns that rows are sorted by first; all others follow in their order."""
NUMBERS = {column.name for column in COLUMNS if column.number}
LONG = [*SYSTEM, "seed", "measure", "value", "low", "high", "queries", "cell"]
PER_MEASURE = ("", " sd", " low", " high", " rank", " p")
"""What `leaderboard-wide.csv` has of each measure, appended to its name."""
COMPARED = [name for name in SYSTEM if name not in (*BOARD, "uses")]
"""The columns that tell two systems of a board apart."""
COMPARISONS = [
    *BOARD,
    *(f"{column}_{side}" for side in "ab" for column in COMPARED),
    *("measure", "mean_a", "mean_b", "difference", "low", "high", "interval", "effect"),
    *("p_queries", "p_seeds", "p_holm", "family", "queries", "seeds_a", "seeds_b"),
]


@dataclass(frozen=True)
class Leaderboard:
    """Everything that is said of some cells, computed once."""

    cells: Sequence[Record]
    store: Store
    baseline: str = BASELINE
    notes: Sequence[str] = ()
    """A line for each reason why cells of the folder are not among these."""

    @cached_property
    def systems(self) -> list[System]:
        return gather(self.cells)

    @cached_property
    def boards(self) -> Boards:
        """By collection, pair and encoder."""
        return boards(self.systems)

    @cached_property
    def measures(self) -> list[str]:
        """All that any system was scored by, in the order of the first that was."""
        return list(dict.fromkeys(measure for system in self.systems for measure in system.measures))

    @cached_property
    def _standings(self) -> list[tuple[dict[System, Standing], list[Comparison]]]:
        return [
            standings(systems, measure, self.baseline) for systems in self.boards.values() for measure in self.measures
        ]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All pairs of each board, by each measure."""
        return [comparison for _, compared in self._standings for comparison in compared]

    @cached_property
    def standings(self) -> dict[tuple[System, str], Standing]:
        """By system and measure."""
        return {
            (system, measure): standing
            for (found, _), measure in zip(self._standings, self.measures * len(self.boards), strict=True)
            for system, standing in found.items()
        }

    @cached_property
    def wide(self) -> pd.DataFrame:
        """A row per system: per measure its mean, the mean's spread over seeds and its interval, rank group and
        corrected p-value against the baseline.
        """
        return _sorted(pd.DataFrame([self._wide_row(system) for system in self.systems]))

    def _wide_row(self, system: System) -> dict[str, Any]:
        row: dict[str, Any] = {**_named(system.spec), "seeds": len(system.seeds), "queries": len(system.queries)}
        found = {measure: self.standings[system, measure] for measure in system.scores}
        row["interval"] = next(iter(found.values())).mean.kind if found else ""
        row["baseline"] = self.baseline
        for measure in self.measures:
            if standing := found.get(measure):
                p = standing.against and round(standing.against.p_holm, DECIMALS)
                spread = standing.spread if standing.spread is None else round(standing.spread, DECIMALS)
                mean = standing.mean
                values: tuple[Any, ...] = (mean.mean, spread, mean.low, mean.high, standing.rank, p)
            else:
                values = (system.reported.get(measure), *[None] * (len(PER_MEASURE) - 1))
            row |= {f"{measure}{part}": value for part, value in zip(PER_MEASURE, values, strict=True)}
        return row

    @cached_property
    def cost(self) -> pd.DataFrame:
        return cost_frame(self.cells)

    @cached_property
    def diagnostics(self) -> dict[System, str]:
        """The diagnostics of each system's trainings, averaged over seeds."""
        return {system: diagnostics.over_seeds(system) for system in self.systems}

    @cached_property
    def shares(self) -> pd.DataFrame:
        """Of pools in several languages, what each gives to the top ranks; see `bench.report.languages`."""
        return share_frame(self.cells)

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Pairs with much against pairs with little bitext; see `bench.report.languages`."""
        return gap_frame(self.systems, bitext_of(self.cells))

    def tables(self, measures: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
        """The tables to read, by their titles. Raises `BenchError` if no cell was scored by any of the measures."""
        asked = [measure for measure in measures or self.measures if measure in self.measures]
        if not asked:
            scored = ", ".join(self.measures)
            raise BenchError(f"no cell was scored by {', '.join(measures)}; scored: {scored}")
        return tables(self.boards, self.standings, asked, self.cost, self.baseline)

    @cached_property
    def remarks(self) -> dict[str, list[str]]:
        """The lines below the tables, by their titles: the trainings' diagnostics, and favoured languages."""
        return remarks(self.boards, self.diagnostics, self.shares)

    def write(self, folder: Path | None = None) -> list[Path]:
        """Write the files of the results folder, or to another one; returns their paths."""
        folder = folder or self.store.root
        frames = {
            "leaderboard.csv": long_frame(self.cells),
            "leaderboard-wide.csv": self.wide,
            "comparisons.csv": comparison_frame(self.comparisons),
            "cost.csv": self.cost,
            **{
                name: frame
                for name, frame in {"languages.csv": self.shares, "gaps.csv": self.gaps}.items()
                if len(frame)
            },
        }
        contents = {name: frame.to_csv(index=False, lineterminator="\n") for name, frame in frames.items()}
        shown = self.tables()
        contents["leaderboard.md"] = "\n".join(
            "\n\n".join([f"### {title}", markdown(table), *self.remarks[title]]) + "\n"
            for title, table in shown.items()
        )
        contents["leaderboard.tex"] = latex_document(self.boards, self.standings, self.measures, self.baseline)
        for name, text in contents.items():
            with atomic_write(folder / name) as file:
                file.write(text)
        return [folder / name for name in contents]


def leaderboard(store: Store, baseline: str = BASELINE) -> Leaderboard:
    """Return the leaderboard of a results folder. Raises `BenchError` if that holds no finished cell."""
    contents = store.contents()
    return Leaderboard(contents.cells, store, baseline, contents.notes)


def _named(spec: RunSpec) -> dict[str, str]:
    """The columns of a system."""
    return {name: spec.columns[name] for name in SYSTEM}


def long_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return one row per cell and measure: the mean over queries with its 95 % bootstrap interval over queries."""
    rows: list[dict[str, Any]] = []
    values = []
    for cell in cells:
        about = {**cell.spec.columns, "cell": cell.fingerprint[:12]}
        for measure, scores in cell.scores.items():
            rows.append({**about, "measure": measure, "queries": len(scores)})
            values.append(np.array(list(scores.values()), dtype=float))
        for measure, value in cell.manifest.get("reported", {}).items():
            rows.append({**about, "measure": measure, "queries": 0, "value": value})
    scored = (row for row in rows if "value" not in row)
    for row, limits in zip(list(scored), query_bootstrap(values), strict=True):
        row |= dict(zip(("value", "low", "high"), limits, strict=True))
    return _sorted(pd.DataFrame(rows, columns=LONG))


def comparison_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row per pair of systems and measure."""
    rows = [
        {
            **{column: found.a.spec.columns[column] for column in BOARD},
            **{f"{column}_a": found.a.spec.columns[column] for column in COMPARED},
            **{f"{column}_b": found.b.spec.columns[column] for column in COMPARED},
            "measure": found.measure,
            "mean_a": round(found.mean_a, DECIMALS),
            "mean_b": round(found.mean_b, DECIMALS),
            "difference": found.difference.mean,
            "low": found.difference.low,
            "high": found.difference.high,
            "interval": found.difference.kind,
            "effect": round(found.effect, DECIMALS),
            "p_queries": round(found.p_queries, DECIMALS),
            "p_seeds": None if found.p_seeds is None else round(found.p_seeds, DECIMALS),
            "p_holm": round(found.p_holm, DECIMALS),
            "family": found.family,
            "queries": len(found.queries),
            **dict(zip(("seeds_a", "seeds_b"), found.seeds, strict=True)),
        }
        for found in comparisons
    ]
    order = [*BOARD, "measure", *(f"{column}_{side}" for side in "ab" for column in COMPARED)]
    return pd.DataFrame(rows, columns=COMPARISONS).sort_values(order, kind="stable")


def cost_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return what each cell's retriever cost to train and the cell to evaluate: seconds, steps, tokens, MiB."""
    rows = []
    for cell in cells:
        training = {"seconds": None, "cpu_seconds": None, **cell.trained.get("cost", {})}
        rows.append(
            {
                **cell.spec.columns,
                **{f"training_{name}": value for name, value in training.items()},
                **{f"evaluation_{name}": value for name, value in cell.manifest["cost"].items()},
                "documents_cached": cell.manifest["documents_cached"],
                "diagnostics": diagnostics.told(cell.trained.get("diagnostics", {})),
            }
        )
    return _sorted(pd.DataFrame(rows)).rename(columns=lambda name: name.replace("training_trained_", "trained_"))


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    order = dict.fromkeys([*FIRST, *(column.name for column in COLUMNS)])
    return frame.sort_values(
        [column for column in order if column in frame.columns],
        kind="stable",
        key=lambda column: pd.to_numeric(column) if column.name in NUMBERS else column,
    )
