"""What the page and the plots show, as plain values: everything is worked out here, nothing in the browser.

Names of methods and settings are as they were typed: whoever shows them escapes them. Of collections there are ids of
queries and scores, never a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import registry
from bench.evaluation.measures import lower_is_better
from bench.report.comparison import Comparison
from bench.report.curves import read_curve
from bench.report.labels import Label, labels
from bench.report.leaderboard import Leaderboard
from bench.report.tables import title
from bench.results.store import Record, training_of
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import DECIMALS
from bench.statistics.significance import ALPHA

COSTS = {
    "cpu": "training_cpu_seconds",
    "seconds": "training_seconds",
    "steps": "trained_steps",
    "tokens": "trained_tokens",
    "memory": "training_peak_memory_mib",
    "parameters": "training_parameters",
}
"""What a training cost, and its column in cost.csv."""
UNIT = 10_000
"""Per-query scores are whole numbers of 1 / UNIT."""
SCORES_LIMIT = 20_000_000
"""Bytes of per-query scores at most. Measures beyond it have none, and the page says so."""
PAIR_COLUMNS = ("a", "b", "difference", "low", "high", "effect", "p_queries", "p_seeds", "p_holm", "family")
"""Of a comparison: two systems by their number, and what is said of them; `wins`, `ties` and `losses` follow."""


def report_data(found: Leaderboard, measures: Sequence[str] = (), scores_limit: int = SCORES_LIMIT) -> dict[str, Any]:
    """Everything the page shows of a leaderboard; a function of the results folder alone.

    Systems and boards are named by their number. All measures are shown unless some are named; the first one first.
    """
    shown = [measure for measure in measures or found.measures if measure in found.measures]
    boards = sorted(found.boards.items(), key=lambda item: item[0])
    systems = [system for _, members in boards for system in members]
    number = {system: i for i, system in enumerate(systems)}
    names = labels(found.boards)
    costs, references = _costs(found.cost), set(registry.references())
    asked = [list(dict.fromkeys(query for system in members for query in system.queries)) for _, members in boards]
    where = {system: i for i, (_, members) in enumerate(boards) for system in members}
    scores, left_out = _scores(systems, [asked[where[system]] for system in systems], shown, scores_limit)
    pool = Pool()
    return {
        "baseline": found.baseline,
        "alpha": ALPHA,
        "finished": max((cell.manifest["provenance"]["finished"] for cell in found.cells), default=""),
        "cells": len(found.cells),
        "notes": list(found.notes),
        "measures": shown,
        "lower": [measure for measure in shown if lower_is_better(measure)],
        "boards": [_board(key, members, asked[i]) for i, (key, members) in enumerate(boards)],
        "systems": [
            {
                "board": where[system],
                "method": names[system].method,
                "details": list(names[system].details),
                "reference": system.spec.method in references,
                **{name: system.spec.columns[name] for name in ("uses", "train", "budget")},
                "seeds": [seed for seed in system.seeds if seed],
                "standings": {
                    measure: _standing(found, system, measure) for measure in shown if measure in system.measures
                },
                **costs[tuple(system.spec.columns[name] for name in SYSTEM)],
                "diagnostics": found.diagnostics[system].split(),
            }
            for system in systems
        ],
        "overview": _overview(found, shown, systems, names),
        "pairs": {
            measure: [_pair(pair, number) for pair in found.comparisons if pair.measure == measure] for measure in shown
        },
        "unit": UNIT,
        "scores": scores,
        "left_out": left_out,
        "curves": _curves(systems),
        "manifests": [_manifests(system, pool) for system in systems],
        "pool": pool.values,
    }


def _board(key: tuple[str, ...], systems: Sequence[System], queries: list[str]) -> dict[str, Any]:
    dataset, pair, encoder = key
    return {
        "dataset": dataset,
        "pair": pair,
        "encoder": Path(encoder).name,
        "title": title(key, systems),
        "queries": queries,
    }


def _standing(found: Leaderboard, system: System, measure: str) -> dict[str, Any]:
    """What the leaderboard says of a system; of a mean that others report, that alone."""
    standing = found.standings.get((system, measure))
    if standing is None:
        return {"mean": _rounded(system.reported[measure])}
    mean, against = standing.mean, standing.against
    return {
        "mean": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "interval": mean.kind,
        "rank": standing.rank,
        "sd": _rounded(standing.spread),
        "difference": against and against.difference.mean,
        "p": against and _rounded(against.p_holm),
    }


def _pair(pair: Comparison, number: Mapping[System, int]) -> list[Any]:
    """The values of `PAIR_COLUMNS`, and on how many queries `a` is better, as good and worse, up to rounding errors."""
    differences = -pair.differences if lower_is_better(pair.measure) else pair.differences
    wins, losses = int((differences > 1e-9).sum()), int((differences < -1e-9).sum())
    rounded = (pair.effect, pair.p_queries, pair.p_seeds, pair.p_holm)
    return [
        *(number[pair.a], number[pair.b]),
        *(pair.difference.mean, pair.difference.low, pair.difference.high),
        *map(_rounded, rounded),
        *(pair.family, wins, len(differences) - wins - losses, losses),
    ]


def _costs(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the cost of trainings by a system's columns, averaged over seeds; what trains on nothing has none."""
    numbers = pd.DataFrame(
        {name: pd.to_numeric(frame[column]) if column in frame else np.nan for name, column in COSTS.items()},
        index=frame.index,
    )
    numbers[frame["train"] == ""] = np.nan
    means = pd.concat([frame[SYSTEM], numbers], axis=1).groupby(SYSTEM, dropna=False)[list(COSTS)].mean()
    return {
        key: {"cost": {name: _rounded(row[name], 3) for name in COSTS}}
        for key, row in zip(means.index, means.to_dict("records"), strict=True)
    }


def _overview(
    found: Leaderboard, measures: Sequence[str], systems: Sequence[System], names: Mapping[System, Label]
) -> list[dict[str, Any]]:
    """One row per label: its systems by number, and over the boards of each measure mean, extremes, mean rank and how
    often it is significantly better and worse than the baseline.
    """
    rows: dict[Label, list[int]] = {}
    for i, system in enumerate(systems):
        rows.setdefault(names[system], []).append(i)
    return [
        {
            "systems": members,
            "standings": {
                measure: _over_boards(found, scored, measure)
                for measure in measures
                if (scored := [systems[i] for i in members if measure in systems[i].measures])
            },
        }
        for members in rows.values()
    ]


def _over_boards(found: Leaderboard, systems: Sequence[System], measure: str) -> dict[str, Any]:
    means = [system.mean(measure) for system in systems]
    standings = [standing for system in systems if (standing := found.standings.get((system, measure)))]
    compared = [standing.against for standing in standings if standing.against is not None]
    significant = [against for against in compared if against.is_significant]
    return {
        "mean": _rounded(float(np.mean(means))),
        "low": _rounded(min(means)),
        "high": _rounded(max(means)),
        "boards": len(means),
        "rank": _rounded(float(np.mean([standing.rank for standing in standings])), 2) if standings else None,
        "better": sum(against.better is against.a for against in significant),
        "worse": sum(against.better is against.b for against in significant),
        "compared": len(compared),
    }


def _scores(
    systems: Sequence[System], asked: Sequence[Sequence[str]], measures: Sequence[str], limit: int
) -> tuple[dict[str, list[list[int | None] | None]], list[str]]:
    """Per measure and system the scores of its board's queries, averaged over seeds, in units of 1 / UNIT, with None
    for what was not asked or scored; and the measures that there was no room for.
    """
    kept: dict[str, list[list[int | None] | None]] = {}
    left_out: list[str] = []
    room = limit
    for measure in measures:
        rows = [_score_row(system, queries, measure) for system, queries in zip(systems, asked, strict=True)]
        size = len(json.dumps(rows, separators=(",", ":")))
        if size <= room:
            kept[measure] = rows
            room -= size
        else:
            left_out.append(measure)
    return kept, left_out


def _score_row(system: System, queries: Sequence[str], measure: str) -> list[int | None] | None:
    if measure not in system.scores:
        return None
    values = np.rint(system.scores[measure].mean(axis=0) * UNIT).astype(int).tolist()
    found: dict[str, int] = dict(zip(system.queries, values, strict=True))
    return [found.get(query) for query in queries]


def _curves(systems: Sequence[System]) -> list[dict[str, Any]]:
    """A curve per training: the systems that it belongs to, its seed, steps and losses."""
    trainings: dict[str, dict[str, Any]] = {}
    records: dict[str, Record | None] = {}
    for i, system in enumerate(systems):
        for seed, cell in zip(system.seeds, system.cells, strict=True):
            if name := cell.manifest["training"]:
                trainings.setdefault(name, {"systems": [], "seed": seed})["systems"].append(i)
                records.setdefault(name, training_of(cell))
    found = ((row, read_curve(record)) for name, row in trainings.items() if (record := records[name]))
    return [
        {**row, "steps": list(curve.steps), "losses": [float(f"{loss:.5g}") for loss in curve.losses]}
        for row, curve in found
        if curve is not None
    ]


class Pool:
    """Values that many manifests share, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """The place of a value in `values`."""
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(value)
        return self._places[text]

    def pooled(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest without what names its system; its values, and those one level down, by their places."""
        return {
            key: {name: self.place(item) for name, item in value.items()}
            if isinstance(value, Mapping) and value
            else self.place(value)
            for key, value in manifest.items()
            if key not in ("kind", "spec", "files")
        }


def _manifests(system: System, pool: Pool) -> list[dict[str, Any]]:
    """Per seed the manifest of its cell and, as far as it is known, of its training."""
    found = []
    for seed, record in zip(system.seeds, system.cells, strict=True):
        cell = {key: value for key, value in record.manifest.items() if key != "trained"}
        facts = {"seed": seed, "cell": pool.pooled(cell)}
        training = record.trained
        found.append({**facts, "training": pool.pooled(training)} if training else facts)
    return found


def _rounded(value: float | None, decimals: int = DECIMALS) -> float | None:
    """None for what JSON has no number for."""
    return round(float(value), decimals) if value is not None and np.isfinite(value) else None


def finite(value: Any) -> Any:
    """A value of JSON with None for NaN and infinities, which a manifest may have and JSON has not."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value
