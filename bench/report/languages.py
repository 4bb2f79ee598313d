"""How fair systems are to languages: what a pool of several gives to the top ranks, and pairs with much against pairs
with little bitext.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.evaluation.measures import lower_is_better
from bench.results.store import Record
from bench.results.systems import System
from bench.spec import SYSTEM
from bench.statistics.intervals import DECIMALS

SHARES = [*SYSTEM, "seed", "language", "pool", "top", "ratio"]
ACROSS = [column for column in SYSTEM if column not in ("pair", "train")]
"""What a system is on all pairs together."""
GAPS = [*ACROSS, "measure", "pairs", "mean", "much", "little", "gap", "worst_pair", "worst", "best_pair", "best"]


def share_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """A row per cell with a pool of several languages and language: its share of the pool and of the first ten
    documents of all queries, and the ratio of both, 1 without bias.
    """
    rows = []
    for cell in cells:
        for language, shares in cell.manifest.get("languages", {}).items():
            ratio = round(shares["top"] / shares["pool"], DECIMALS)
            rows.append({**cell.spec.columns, "language": language, **shares, "ratio": ratio})
    return pd.DataFrame(rows, columns=SHARES).sort_values(SHARES[:-3], kind="stable")


def favours(shares: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """By system how many times its share of the pool each language has of the top ranks, the mean over seeds, as in
    `eng 3.1x, tha 0.2x`.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    ratios = shares.groupby([*SYSTEM, "language"], dropna=False)["ratio"].mean().reset_index()
    for row in ratios.sort_values("ratio", ascending=False, kind="stable").to_dict("records"):
        key = tuple(row[column] for column in SYSTEM)
        found.setdefault(key, []).append(f"{row['language']} {row['ratio']:.1f}x")
    return {key: ", ".join(texts) for key, texts in found.items()}


def gap_frame(systems: Sequence[System], bitext: Mapping[str, int]) -> pd.DataFrame:
    """A row per system, collection and measure with several pairs: the mean over pairs, over the half of them with the
    most bitext (`much`) and over the others (`little`), the gap between these, and the worst and best pair.

    `bitext` has the number of sentence pairs that there are for each language pair; with an odd number of pairs the
    middle one is of the lower half. Pairs without any count as having none.
    """
    groups: dict[tuple[str, ...], list[System]] = {}
    for system in systems:
        groups.setdefault(tuple(system.spec.columns[column] for column in ACROSS), []).append(system)
    rows = []
    for key, members in groups.items():
        for measure in dict.fromkeys(name for system in members for name in system.scores):
            by_pair = {
                system.spec.columns["pair"]: system.mean(measure) for system in members if measure in system.scores
            }
            if len(by_pair) < 2:
                continue
            ordered = sorted(by_pair, key=lambda pair: (-bitext.get(pair, 0), pair))
            means = np.array([by_pair[pair] for pair in ordered])
            much, little = means[: len(means) // 2].mean(), means[len(means) // 2 :].mean()
            sign = -1 if lower_is_better(measure) else 1
            best, worst = (choose(by_pair, key=lambda pair: sign * by_pair[pair]) for choose in (max, min))
            rows.append(
                {
                    **dict(zip(ACROSS, key, strict=True)),
                    "measure": measure,
                    "pairs": len(by_pair),
                    **{
                        name: round(float(value), DECIMALS)
                        for name, value in (
                            ("mean", means.mean()),
                            ("much", much),
                            ("little", little),
                            ("gap", much - little),
                        )
                    },
                    "worst_pair": worst,
                    "worst": round(by_pair[worst], DECIMALS),
                    "best_pair": best,
                    "best": round(by_pair[best], DECIMALS),
                }
            )
    return pd.DataFrame(rows, columns=GAPS).sort_values(["dataset", "measure", *ACROSS], kind="stable")


def bitext_of(cells: Iterable[Record]) -> dict[str, int]:
    """Return the most sentence pairs that any training for one language pair had."""
    found: dict[str, int] = {}
    for cell in cells:
        pair, rows = " + ".join(map(str, cell.spec.pairs)), cell.trained.get("cost", {}).get("bitext_pairs") or 0
        found[pair] = max(found.get(pair, 0), int(rows))
    return found
