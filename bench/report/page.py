"""The page of a report: one HTML file with its style, its script and its data, which needs no network.

All numbers are computed here, none in the browser. The page has query ids and scores, but no text of a collection.
Names of methods may contain anything. They are in a block of escaped JSON, and are shown as text only. In addition, the
policy in the head of the page allows no other script.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import registry
from bench.evaluation.measures import lower_is_better
from bench.report.leaderboard import Leaderboard, diagnostics_text
from bench.report.tables import corrections, latex
from bench.results.store import LOG, Record, training_of
from bench.results.systems import System
from bench.statistics.intervals import DECIMALS
from bench.statistics.significance import ALPHA
from bench.storage.sealed import Damaged
from bench.tables import frame_csv

FILES = files("bench.report") / "page"
SCRIPTS = (
    *("dom.js", "charts.js", "table.js", "rows.js"),
    *("leaderboard.js", "plots.js", "duel.js", "manifests.js", "page.js"),
)
"""Scripts of the page, concatenated in this order."""
ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""JSON escapes of characters that could end a script block or a line."""
COSTS = {
    **{"cpu": "cpu_seconds", "seconds": "seconds", "steps": "trained_steps", "tokens": "trained_tokens"},
    **{"memory": "peak_memory_mib", "parameters": "parameters"},
}
STANDING = ["mean", "low", "high", "interval", "best_rank", "worst_rank", "sd", "difference", "p"]
PAIR = ["a", "b", "difference", "low", "high", "effect", "p_queries", "p_seeds", "p_holm", "family"]
PAIR += ["wins", "ties", "losses"]
SCORES_LIMIT = 20_000_000
"""The maximum number of bytes of per-query scores. Measures beyond it are listed in `left_out`."""
POINTS = 200


def page(data: Mapping[str, Any]) -> str:
    """Return the page of a report; the same data give the same bytes."""
    style = _read("page.css")
    script = "\n".join(map(_read, SCRIPTS))
    collections = dict.fromkeys(board["dataset"] for board in data["boards"])
    parts = {
        "title": html.escape(f"{len(data['overview'])} systems on {', '.join(collections)}"),
        "policy": f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "data": block(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def block(data: Mapping[str, Any]) -> str:
    """Return JSON that is safe in a script block. NaN and infinities become null."""
    finite = json.loads(json.dumps(data), parse_constant=lambda _: None)
    return json.dumps(finite, ensure_ascii=False, separators=(",", ":")).translate(ESCAPES)


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    """Return the hash that identifies a script or style of this text in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(f"\n{text}\n".encode()).digest()).decode()


def report_data(found: Leaderboard, measures: Sequence[str] = (), scores_limit: int = SCORES_LIMIT) -> dict[str, Any]:
    """Return the data of the page as plain values, with the indices of systems and boards."""
    shown = [measure for measure in measures or found.measures if measure in found.measures]
    standings = found.ranked[found.ranked["measure"].isin(shown)].round(DECIMALS)
    comparisons = _plain(found.comparisons.round(DECIMALS))
    references = registry.references()
    methods = _methods(found)
    queries = [list(dict.fromkeys(query for system in members for query in system.queries)) for members in found.boards]
    scores, left_out = _scores(found, queries, shown, scores_limit)
    by_system: list[dict[str, Any]] = [{} for _ in found.systems]
    for numbers in _plain(standings[["system", "measure", *STANDING]]).to_dict("records"):
        by_system[numbers.pop("system")][numbers.pop("measure")] = numbers
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
                "dataset": members[0].spec.dataset,
                "pair": members[0].spec.columns["pair"],
                "encoder": Path(members[0].spec.encoder).name,
                "title": title,
                "queries": of_board,
                "corrections": {measure: corrections(found.families(i, measure)) for measure in shown},
                "seeds": {measure: found.seed_remarks(i, measure) for measure in shown},
            }
            for i, (members, title, of_board) in enumerate(zip(found.boards, found.titles, queries, strict=True))
        ],
        "systems": [
            {
                "board": int(found.names["board"][i]),
                "method": method,
                "details": details,
                "reference": system.spec.method in references,
                "bound": i in found.bounds,
                "pages": [method.name for method in system.spec.methods if method.name in methods],
                **{name: system.spec.columns[name] for name in ("supervision", "train", "budget")},
                "seeds": [seed for seed in system.seeds if seed],
                "standings": by_system[i],
                "cost": _cost(system),
                "diagnostics": diagnostics_text(system.trained("diagnostics")).split(),
            }
            for i, (system, (method, *details)) in enumerate(zip(found.systems, found.labels, strict=True))
        ],
        "overview": _overview(found, standings),
        "pairs": {
            measure: comparisons.loc[comparisons["measure"] == measure, PAIR].values.tolist() for measure in shown
        },
        "scores": scores,
        "left_out": left_out,
        "methods": methods,
        "files": {"leaderboard-wide.csv": frame_csv(found.wide), "leaderboard.tex": latex(found)},
        "curves": _curves(found.systems),
        "manifests": [_manifests(system) for system in found.systems],
    }


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of Python values, with None for missing ones."""
    return frame.astype(object).where(frame.notna(), None)


def _methods(found: Leaderboard) -> dict[str, dict[str, str]]:
    """Return the facts of each method whose page `bench ls methods` prints."""
    pages = {}
    for name in sorted({method.name for system in found.systems for method in system.spec.methods}):
        if entry := registry.known().get(name):
            about = entry.describe()
            trains_on = " + ".join(about["supervision"])
            pages[name] = {"description": about["description"], "trains on": trains_on, "source": about["source"]}
    return pages


def _cost(system: System) -> dict[str, float | None]:
    cost = system.trained("cost") if system.spec.train else {}
    return {name: None if cost.get(key) is None else round(cost[key], 3) for name, key in COSTS.items()}


def _overview(found: Leaderboard, standings: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row per label: the indices of its systems, and for each measure a summary over their boards."""
    labels = standings["system"].map(pd.Series(found.labels)).rename("label")
    groups = standings.groupby([labels, "measure"])
    means, against = groups["mean"], groups["significant"]
    summary = pd.DataFrame(
        {
            **{"mean": means.mean(), "low": means.min(), "high": means.max(), "boards": means.count()},
            "best_rank": groups["best_rank"].mean().round(2),
            "worst_rank": groups["worst_rank"].mean().round(2),
            "better": against.agg(lambda signs: (signs > 0).sum()),
            "worse": against.agg(lambda signs: (signs < 0).sum()),
            "compared": against.count(),
            "p": groups["p"].min(),
            "most_p": groups["p"].max(),
        }
    )
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for i, label in enumerate(found.labels):
        rows.setdefault(label, {"systems": [], "standings": {}})["systems"].append(i)
    for numbers in _plain(summary.round(DECIMALS).reset_index()).to_dict("records"):
        rows[numbers.pop("label")]["standings"][numbers.pop("measure")] = numbers
    return list(rows.values())


def _scores(
    found: Leaderboard, queries: Sequence[Sequence[str]], measures: Sequence[str], limit: int
) -> tuple[dict[str, list[list[float | None] | None]], list[str]]:
    """Return scores of queries by measure and system, averaged over seeds, and the measures beyond the limit."""
    kept: dict[str, list[list[float | None] | None]] = {}
    for measure in measures:
        rows: list[list[float | None] | None] = [None] * len(found.systems)
        for i, (system, board) in enumerate(zip(found.systems, found.names["board"], strict=True)):
            if measure in system.scores:
                values = system.scores[measure].mean(axis=0).round(4).tolist()
                by_query = dict(zip(system.queries, values, strict=True))
                rows[i] = [by_query.get(query) for query in queries[board]]
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
                if (name := training.folder.name) not in rows:
                    points = thinned(read_losses(training))
                    losses = [float(f"{loss:.5g}") for loss in points["loss"]]
                    rows[name] = {"systems": [], "seed": seed, "steps": points["step"].tolist(), "losses": losses}
                rows[name]["systems"].append(i)
    return [row for row in rows.values() if row["steps"]]


def read_losses(training: Record) -> pd.DataFrame:
    """Return `step` and `loss` of a log; empty if it is missing or damaged."""
    try:
        training.verify(LOG)
        lines = (training.folder / LOG).read_text(encoding="utf-8").splitlines()
    except (Damaged, FileNotFoundError):
        lines = []
    frame = pd.DataFrame(map(json.loads, lines), columns=["step", "loss"])
    return frame[np.isfinite(frame["loss"].astype(float))].astype({"step": int})


def thinned(points: pd.DataFrame, limit: int = POINTS) -> pd.DataFrame:
    """Return at most `limit` points: the last step and the mean loss of groups of neighbours."""
    runs = np.arange(len(points)) * limit // max(len(points), limit)
    return points.groupby(runs).agg({"step": "last", "loss": "mean"})


def _manifests(system: System) -> list[dict[str, Any]]:
    """Return the manifests of a system's cells and trainings, without the fields that identify the system."""

    def facts(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        own = {key: value for key, value in manifest.items() if key not in ("kind", "spec", "files", "trained")}
        return own or None

    pairs = zip(system.seeds, system.cells, strict=True)
    return [{"seed": seed, "cell": facts(cell.manifest), "training": facts(cell.trained)} for seed, cell in pairs]
