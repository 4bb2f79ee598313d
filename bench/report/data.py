"""The data of the page and the plots, as plain values. All numbers are computed here, none in the browser.

Names of methods and settings are unescaped. Of collections there are query ids and scores, never a text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from bench import registry
from bench.evaluation.measures import lower_is_better
from bench.report.labels import Label, diagnostics_text, labels, title
from bench.report.leaderboard import Leaderboard
from bench.results.store import LOG, Record, training_of
from bench.results.systems import System
from bench.statistics.intervals import rounded
from bench.statistics.significance import ALPHA
from bench.storage.sealed import Damaged

COSTS = {
    **{"cpu": "cpu_seconds", "seconds": "seconds", "steps": "trained_steps", "tokens": "trained_tokens"},
    **{"memory": "peak_memory_mib", "parameters": "parameters"},
}
"""The costs of a training, and their names in its manifest."""
UNIT = 10_000
"""Per-query scores are whole numbers of 1 / UNIT."""
SCORES_LIMIT = 20_000_000
"""The maximum number of bytes of per-query scores. Measures beyond it are listed in `left_out`."""
POINTS = 200
"""The maximum number of points of a learning curve."""


def report_data(found: Leaderboard, measures: Sequence[str] = (), scores_limit: int = SCORES_LIMIT) -> dict[str, Any]:
    """Return everything that the page shows of a leaderboard; it depends on the results folder alone.

    Systems and boards are referred to by their index. All measures are shown unless some are named.
    """
    shown = [measure for measure in measures or found.measures if measure in found.measures]
    boards = sorted(found.boards.items())
    systems = [system for _, members in boards for system in members]
    board_of = [i for i, (_, members) in enumerate(boards) for _ in members]
    index = {system: i for i, system in enumerate(systems)}
    names = labels(found.boards)
    references = registry.references()
    queries = [list(dict.fromkeys(query for system in members for query in system.queries)) for _, members in boards]
    scores, left_out = _scores(systems, [queries[board] for board in board_of], shown, scores_limit)
    manifests, values = _manifests(systems)
    return {
        "baseline": found.baseline,
        "alpha": ALPHA,
        "finished": max((cell.manifest["provenance"]["finished"] for cell in found.cells), default=""),
        "cells": len(found.cells),
        "notes": list(found.notes),
        "measures": shown,
        "lower": [measure for measure in shown if lower_is_better(measure)],
        "boards": [
            {
                "dataset": key[0],
                "pair": key[1],
                "encoder": Path(key[2]).name,
                "title": title(key, members),
                "queries": queries[i],
            }
            for i, (key, members) in enumerate(boards)
        ],
        "systems": [
            {
                "board": board,
                "method": names[system].method,
                "details": list(names[system].details),
                "reference": system.spec.method in references,
                **{name: system.spec.columns[name] for name in ("supervision", "train", "budget")},
                "seeds": [seed for seed in system.seeds if seed],
                "standings": {
                    measure: standing.numbers
                    if (standing := found.standings.get((system, measure)))
                    else {"mean": rounded(system.reported[measure])}
                    for measure in shown
                    if measure in system.measures
                },
                "cost": _cost(system),
                "diagnostics": diagnostics_text(system.trained("diagnostics")).split(),
            }
            for system, board in zip(systems, board_of, strict=True)
        ],
        "overview": _overview(found, shown, systems, names),
        "pairs": {
            measure: [
                [index[pair.a], index[pair.b], *pair.numbers.values(), *pair.outcomes]
                for pair in found.comparisons
                if pair.measure == measure
            ]
            for measure in shown
        },
        "unit": UNIT,
        "scores": scores,
        "left_out": left_out,
        "curves": _curves(systems),
        "manifests": manifests,
        "values": values,
    }


def _cost(system: System) -> dict[str, float | None]:
    cost = system.trained("cost") if system.spec.train else {}
    return {name: rounded(cost.get(key), 3) for name, key in COSTS.items()}


def _overview(
    found: Leaderboard, measures: Sequence[str], systems: Sequence[System], names: Mapping[System, Label]
) -> list[dict[str, Any]]:
    """Return one row per label: the indices of its systems, and for each measure a summary over their boards."""
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
    signs = [standing.against.significant_sign for standing in standings if standing.against]
    return {
        "mean": rounded(fmean(means)),
        "low": rounded(min(means)),
        "high": rounded(max(means)),
        "boards": len(means),
        "rank": rounded(fmean(standing.rank for standing in standings), 2) if standings else None,
        "better": signs.count(1),
        "worse": signs.count(-1),
        "compared": len(signs),
    }


def _scores(
    systems: Sequence[System], queries: Sequence[Sequence[str]], measures: Sequence[str], limit: int
) -> tuple[dict[str, list[list[int | None] | None]], list[str]]:
    """Return by measure and system the scores of its board's queries, averaged over seeds, in units of 1 / UNIT, with
    None for missing scores; and the measures that exceed the limit.
    """
    kept: dict[str, list[list[int | None] | None]] = {}
    for measure in measures:
        rows: list[list[int | None] | None] = [None] * len(systems)
        for i, system in enumerate(systems):
            if measure in system.scores:
                values = np.rint(system.scores[measure].mean(axis=0) * UNIT).astype(int).tolist()
                by_query = dict(zip(system.queries, values, strict=True))
                rows[i] = [by_query.get(query) for query in queries[i]]
        size = len(json.dumps(rows, separators=(",", ":")))
        if size <= limit:
            kept[measure] = rows
            limit -= size
    return kept, [measure for measure in measures if measure not in kept]


def _curves(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Return a learning curve per training with logged losses: the indices of its systems, seed, steps and losses."""
    rows: dict[str, dict[str, Any]] = {}
    for i, system in enumerate(systems):
        for seed, cell in zip(system.seeds, system.cells, strict=True):
            if training := training_of(cell):
                if training.folder.name not in rows:
                    points = thinned(read_losses(training))
                    steps, losses = [step for step, _ in points], [float(f"{loss:.5g}") for _, loss in points]
                    rows[training.folder.name] = {"systems": [], "seed": seed, "steps": steps, "losses": losses}
                rows[training.folder.name]["systems"].append(i)
    return [row for row in rows.values() if row["steps"]]


def read_losses(training: Record) -> list[tuple[int, float]]:
    """Return step and loss of each line of a training's log that has both; none if the log is missing or damaged."""
    try:
        training.verify(LOG)
        lines = (training.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except (Damaged, FileNotFoundError):
        return []
    found = []
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, OverflowError):
            row = json.loads(line)
            found.append((int(row["step"]), float(row["loss"])))
    return [(step, loss) for step, loss in found if math.isfinite(loss)]


def thinned(points: Sequence[tuple[int, float]], limit: int = POINTS) -> list[tuple[int, float]]:
    """Return at most `limit` points: the last step and the mean loss of runs of neighbours of about equal length."""
    count = min(limit, len(points))
    ends = [len(points) * (i + 1) // count for i in range(count)]
    runs = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [(run[-1][0], sum(loss for _, loss in run) / len(run)) for run in runs]


def _manifests(systems: Sequence[System]) -> tuple[list[list[dict[str, Any]]], list[Any]]:
    """Return the manifests of the cells and trainings of each system, and the values that they share.

    The values of a manifest, and those one level down, are indices of the second list. The fields that identify the
    system are left out.
    """
    values: dict[str, tuple[int, Any]] = {}

    def index(value: Any) -> int:
        return values.setdefault(json.dumps(value, sort_keys=True, ensure_ascii=False), (len(values), value))[0]

    def indexed(manifest: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: {name: index(item) for name, item in value.items()}
            if isinstance(value, Mapping) and value
            else index(value)
            for key, value in manifest.items()
            if key not in ("kind", "spec", "files", "trained")
        }

    manifests = []
    for system in systems:
        pairs = zip(system.seeds, system.cells, strict=True)
        rows = [{"seed": seed, "cell": indexed(c.manifest), "training": indexed(c.trained)} for seed, c in pairs]
        manifests.append([{key: value for key, value in row.items() if value != {}} for row in rows])
    return manifests, [value for _, value in values.values()]
