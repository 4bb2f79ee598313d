"""Leaderboards: frames made from finished cells alone, and their CSV, Markdown and terminal forms.

`leaderboard.csv` is long, one row per method, collection, pair, seed and measure; `leaderboard-wide.csv` has a column
per measure, averaged over seeds; `cost.csv` has what was spent. Costs differ from run to run, so they are kept apart:
the leaderboard itself is the same bytes for the same seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from bench.atomic import atomic_write
from bench.errors import BenchError
from bench.results.store import Entry, Store
from bench.tables import print_table

IDENTITY = [
    *("method", "config", "uses", "dataset", "pair", "encoder", "scoring"),
    *("students", "train", "bitext_size", "bitext_noise", "budget"),
]
"""What a row of the wide table is: everything but the seed."""
ORDER = ("dataset", "pair", "measure", "method", "config", "scoring", "bitext_size", "bitext_noise", "budget", "seed")
NUMBERS = ("bitext_size", "bitext_noise", "seed")
"""Columns of texts that are sorted as numbers; an empty one (all of the bitext, none of it misaligned) comes last."""
LONG = [*IDENTITY, "seed", "measure", "value", "low", "high", "queries", "cell"]
RESAMPLES = 1000


def identity(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The columns that name a cell. A cell of before a column existed has it empty, which always means the default."""
    return {column: str(manifest.get(column, "")) for column in [*IDENTITY, "seed"]}


def current(entries: Iterable[Entry]) -> list[Entry]:
    """Of cells that answer the same question, the one finished last: older ones have other code, data or libraries."""
    newest: dict[tuple[str, ...], tuple[str, Entry]] = {}
    for entry in entries:
        manifest = entry.manifest
        key = tuple(identity(manifest).values())
        finished = manifest["provenance"]["finished"]
        if key not in newest or finished >= newest[key][0]:
            newest[key] = (finished, entry)
    return [entry for _, entry in newest.values()]


def long_frame(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row per cell and measure: the mean over queries with its 95 % bootstrap interval over queries."""
    rows = []
    for entry in entries:
        manifest = entry.manifest
        for measure, values in entry.read_scores().items():
            value, low, high = mean_with_interval(np.array(list(values.values())))
            rows.append(
                {
                    **identity(manifest),
                    "measure": measure,
                    "value": value,
                    "low": low,
                    "high": high,
                    "queries": len(values),
                    "cell": manifest["fingerprint"][:12],
                }
            )
    frame = pd.DataFrame(rows, columns=LONG)
    return _sorted(frame)


def wide_frame(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row per method, collection and pair; per measure the mean over queries and seeds, and its interval.

    The interval is of the per-query means over seeds: it speaks of other queries, not of other seeds.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        names = identity(entry.manifest)
        groups.setdefault(tuple(names[column] for column in IDENTITY), []).append(entry)
    rows = []
    for key, members in groups.items():
        row: dict[str, Any] = {**dict(zip(IDENTITY, key, strict=True)), "seeds": len(members)}
        scores = [entry.read_scores() for entry in members]
        for measure in scores[0]:
            if all(measure in seed for seed in scores):
                per_query = np.mean([list(seed[measure].values()) for seed in scores], axis=0)
                row["queries"] = len(per_query)
                row[measure], row[f"{measure} low"], row[f"{measure} high"] = mean_with_interval(per_query)
        rows.append(row)
    frame = pd.DataFrame(rows)
    return _sorted(frame) if rows else frame


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(
        [column for column in ORDER if column in frame.columns],
        kind="stable",
        key=lambda column: pd.to_numeric(column) if column.name in NUMBERS else column,
    )


def cost_frame(store: Store, entries: Iterable[Entry]) -> pd.DataFrame:
    """What each cell's retriever cost to train and the cell to evaluate: seconds, steps, tokens, memory in MiB."""
    trainings = {entry.folder.name: entry.manifest for entry in store.trainings()}
    rows = []
    for entry in entries:
        manifest = entry.manifest
        unknown = {"seconds": None, "cpu_seconds": None}
        training = trainings.get(manifest["training"], {"cost": {}, "diagnostics": {}})
        rows.append(
            {
                **identity(manifest),
                **{f"training_{name}": value for name, value in (unknown | training["cost"]).items()},
                **{f"evaluation_{name}": value for name, value in manifest["cost"].items()},
                "documents_cached": manifest["documents_cached"],
                "diagnostics": " ".join(f"{name}={value:.3f}" for name, value in training["diagnostics"].items()),
            }
        )
    return pd.DataFrame(rows).rename(columns=lambda name: name.replace("training_trained_", "trained_"))


def mean_with_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % percentile-bootstrap interval over queries, rounded to 6 decimals; a function of `values` alone."""
    mean = round(float(values.mean()), 6)
    if len(values) < 2 or np.ptp(values) == 0:
        return mean, mean, mean
    result = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=np.random.default_rng(0)
    )
    return mean, round(float(result.confidence_interval.low), 6), round(float(result.confidence_interval.high), 6)


def write_leaderboards(store: Store) -> list[Path]:
    """Write the files of a results folder from all its finished cells; returns their paths."""
    entries = current(store.cells())
    if not entries:
        raise BenchError(f"{store.root} holds no finished cell; fill it with bench run --results {store.root}")
    wide, cost = wide_frame(entries), cost_frame(store, entries)
    contents = {
        "leaderboard.csv": long_frame(entries).to_csv(index=False, lineterminator="\n"),
        "leaderboard-wide.csv": wide.to_csv(index=False, lineterminator="\n"),
        "cost.csv": cost.to_csv(index=False, lineterminator="\n"),
        "leaderboard.md": "\n\n".join(
            f"### {title}\n\n{to_markdown(table)}" for title, table in tables(wide, cost, scored_measures(wide)).items()
        )
        + "\n",
    }
    for name, text in contents.items():
        with atomic_write(store.root / name) as file:
            file.write(text)
    return [store.root / name for name in contents]


def scored_measures(wide: pd.DataFrame) -> list[str]:
    """The measures of a wide frame, in its order."""
    return [column.removesuffix(" low") for column in wide.columns if column.endswith(" low")]


def tables(wide: pd.DataFrame, cost: pd.DataFrame, measures: Sequence[str]) -> dict[str, pd.DataFrame]:
    """A table of texts to read per collection, pair and encoder, best first; the first measure has its interval.

    A table has the columns that any of its rows was scored by, and a collection without any has no table. How documents
    are scored is a column unless it is `mean` for all.
    """
    asked = [measure for measure in measures if measure in wide.columns]
    if not asked:
        raise BenchError(f"no cell was scored by {', '.join(measures)}; scored: {', '.join(scored_measures(wide))}")
    result = {}
    grouped = cost.groupby(IDENTITY, dropna=False)
    diagnostics = grouped["diagnostics"].first()
    spent = {"training s": grouped["training_seconds"].mean(), "CPU s": grouped["training_cpu_seconds"].mean()}
    for (dataset, pair, encoder), rows in wide.groupby(["dataset", "pair", "encoder"], sort=False):
        shown = [measure for measure in asked if rows[measure].notna().any()]
        if not shown:
            continue
        lines = []
        for _, row in rows.sort_values(shown[0], ascending=False, kind="stable").iterrows():
            figures = {measure: "-" if pd.isna(row[measure]) else f"{row[measure]:.3f}" for measure in shown}
            first = figures.pop(shown[0])
            if first != "-":
                first += f" [{row[f'{shown[0]} low']:.3f}, {row[f'{shown[0]} high']:.3f}]"
            key = tuple(row[column] for column in IDENTITY)
            lines.append(
                {
                    "method": f"{row['method']} {row['config']}".strip(),
                    "students": row["students"] or "-",
                    "scoring": row["scoring"],
                    "trains on": row["uses"] or "-",
                    "bitext": _level(row),
                    "budget": row["budget"] or "-",
                    f"{shown[0]} [95 %]": first,
                    **figures,
                    "seeds": str(row["seeds"]) if row["train"] else "-",
                    **{
                        name: "-" if pd.isna(seconds[key]) or not row["train"] else f"{seconds[key]:.0f}"
                        for name, seconds in spent.items()
                    },
                    "diagnostics": diagnostics[key],
                }
            )
        title = f"{dataset} {pair}, {rows['queries'].iloc[0]} queries, encoder {Path(str(encoder)).name}"
        table = pd.DataFrame(lines)
        usual = {"scoring": {"mean"}, "students": {"-"}, "bitext": {"-", "all"}, "CPU s": {"-"}, "diagnostics": {""}}
        result[title] = table.drop(columns=[column for column, texts in usual.items() if set(table[column]) <= texts])
    return result


def _level(row: pd.Series) -> str:
    """How much of the bitext a row trains on, and what share of that is misaligned."""
    if not row["train"]:
        return "-"
    size = f"{int(row['bitext_size']):,}" if row["bitext_size"] else "all"
    return f"{size}, {100 * float(row['bitext_noise']):g} % misaligned" if row["bitext_noise"] else size


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table of texts."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.values.tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def print_tables(frames: dict[str, pd.DataFrame]) -> None:
    """Print tables to stdout."""
    for title, frame in frames.items():
        columns = list(frame.columns)
        right = set(columns) - {"method", "scoring", "students", "trains on"}
        print_table(columns, frame.values.tolist(), title=title, right=right)
