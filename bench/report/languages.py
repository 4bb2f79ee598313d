"""Fairness to languages: their shares of the top ranks, and the gap between pairs with much and with little bitext."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from bench.evaluation.measures import lower_is_better
from bench.results.store import Record
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import DECIMALS

SHARES = [*SYSTEM, "seed", "language", "documents", "top", "ratio"]
ACROSS = [column for column in SYSTEM if column not in ("pair", "train")]
"""The columns that a system has in common on all pairs."""
GAPS = [*ACROSS, "measure", "pairs", "mean", "much", "little", "gap", "worst_pair", "worst", "best_pair", "best"]


def share_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return a row per language and cell of a multilingual collection: the share of the language in it (`documents`),
    in the first ten documents of all queries (`top`), and the ratio of both, 1 without bias.
    """
    rows = [
        {**cell.spec.columns, "language": language, **shares}
        for cell in cells
        for language, shares in cell.manifest.get("languages", {}).items()
    ]
    frame = pd.DataFrame(rows, columns=SHARES).sort_values(SHARES[:-3], kind="stable")
    return frame.assign(ratio=(frame["top"] / frame["documents"]).round(DECIMALS))


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
    lines = [
        {**system.spec.columns, "measure": name, "score": system.mean(name)}
        for system in systems
        for name in system.scores
    ]
    frame = pd.DataFrame(lines, columns=[*SYSTEM, "measure", "score"])
    frame = frame.drop_duplicates([*ACROSS, "pair", "measure"], keep="last")
    frame["bitext"] = frame["pair"].map(bitext).fillna(0)
    rows = []
    for key, group in frame.sort_values(["bitext", "pair"], ascending=[False, True]).groupby([*ACROSS, "measure"]):
        half = len(group) // 2
        if half:
            much, little = group["score"][:half].mean(), group["score"][half:].mean()
            scores = group.set_index("pair")["score"]
            ends = [(str(scores.idxmin()), scores.min()), (str(scores.idxmax()), scores.max())]
            worst, best = ends[::-1] if lower_is_better(str(key[-1])) else ends
            rows.append((*key, len(group), scores.mean(), much, little, much - little, *worst, *best))
    order = ["dataset", "measure", *ACROSS]
    return pd.DataFrame(rows, columns=GAPS).round(DECIMALS).sort_values(order, kind="stable")


def bitext_of(cells: Iterable[Record]) -> dict[str, int]:
    """Return for each language pair the largest number of sentence pairs of any training."""
    found: dict[str, int] = {}
    for cell in cells:
        pair, rows = " + ".join(map(str, cell.spec.pairs)), cell.trained.get("cost", {}).get("bitext_pairs") or 0
        found[pair] = max(found.get(pair, 0), int(rows))
    return found
