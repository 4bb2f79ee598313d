"""Fairness to languages: their shares of the top ranks, and the gap between pairs with much and with little bitext."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluation.measures import lower_is_better
from bench.results.store import Record
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import DECIMALS, rounded

SHARES = [*SYSTEM, "seed", "language", "documents", "top", "ratio"]
ACROSS = [column for column in SYSTEM if column not in ("pair", "train")]
"""The columns that a system has in common on all pairs."""
GAPS = [*ACROSS, "measure", "pairs", "mean", "much", "little", "gap", "worst_pair", "worst", "best_pair", "best"]


def share_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return a row per language and cell of a multilingual collection: the share of the language in it (`documents`),
    in the first ten documents of all queries (`top`), and the ratio of both, 1 without bias.
    """
    rows = [
        {
            **cell.spec.columns,
            "language": language,
            **shares,
            "ratio": round(shares["top"] / shares["documents"], DECIMALS),
        }
        for cell in cells
        for language, shares in cell.manifest.get("languages", {}).items()
    ]
    return pd.DataFrame(rows, columns=SHARES).sort_values(SHARES[:-3], kind="stable")


def favoured(system: System) -> str:
    """Return the ratio of each language, averaged over seeds, as `eng 3.1x, tha 0.2x`; empty for other collections."""
    ratios = share_frame(system.cells).groupby("language")["ratio"].mean().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{language} {ratio:.1f}x" for language, ratio in ratios.items())


def gap_frame(systems: Sequence[System], bitext: Mapping[str, int]) -> pd.DataFrame:
    """Return a row per measure and system with several pairs of a collection: the mean over pairs, over the half with
    the most bitext (`much`) and over the others (`little`), the gap between these, and the worst and best pair.

    `bitext` has the number of sentence pairs of each language pair, 0 if it is missing. The middle one of an odd number
    of pairs is in the lower half.
    """
    means: dict[tuple[str, ...], dict[str, float]] = {}
    for system in systems:
        across = tuple(system.spec.columns[column] for column in ACROSS)
        for measure in system.scores:
            means.setdefault((*across, measure), {})[system.spec.columns["pair"]] = system.mean(measure)
    rows: list[tuple[Any, ...]] = []
    for key, by_pair in means.items():
        if len(by_pair) < 2:
            continue
        ordered = [by_pair[pair] for pair in sorted(by_pair, key=lambda pair: (-bitext.get(pair, 0), pair))]
        half = len(ordered) // 2
        much, little = np.mean(ordered[:half]), np.mean(ordered[half:])
        worst, best = min(by_pair, key=by_pair.__getitem__), max(by_pair, key=by_pair.__getitem__)
        if lower_is_better(key[-1]):
            worst, best = best, worst
        figures = [np.mean(ordered), much, little, much - little]
        extremes = (worst, rounded(by_pair[worst]), best, rounded(by_pair[best]))
        rows.append((*key, len(by_pair), *(rounded(float(figure)) for figure in figures), *extremes))
    return pd.DataFrame(rows, columns=GAPS).sort_values(["dataset", "measure", *ACROSS], kind="stable")


def bitext_of(cells: Iterable[Record]) -> dict[str, int]:
    """Return for each language pair the largest number of sentence pairs of any training."""
    found: dict[str, int] = {}
    for cell in cells:
        pair, rows = " + ".join(map(str, cell.spec.pairs)), cell.trained.get("cost", {}).get("bitext_pairs") or 0
        found[pair] = max(found.get(pair, 0), int(rows))
    return found
