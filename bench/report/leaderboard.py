"""Leaderboards: frames made from finished cells. docs/leaderboards.md describes the columns of their files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import registry
from bench.errors import unknown
from bench.evaluation.measures import lower_is_better
from bench.report.comparison import AGAINST, COMPARISON, STANDING, computed_once, ranks, standings
from bench.results.store import FAILURE, TRAININGS, Record, Store, training_fingerprint
from bench.results.systems import System, boards, gather
from bench.spec import BOARD, COLUMNS, SYSTEM, select
from bench.statistics.intervals import DECIMALS, query_bootstrap
from bench.statistics.significance import outliers
from bench.tables import shortened

BASELINE = "zero-shot"
REASON = 100
"""Maximum of characters of the reason of a failure."""
APART = {column.name: column.apart for column in COLUMNS if column.apart}
NUMBERS = {column.name for column in COLUMNS if column.number}
LONG = [*SYSTEM, "seed", "measure", "value", "low", "high", "queries", "cell"]
PER_MEASURE = {
    **{"mean": "", "sd": " sd", "low": " low", "high": " high"},
    **{"best_rank": " best rank", "worst_rank": " worst rank", "p": " p"},
}
"""The values of each measure in `leaderboard-wide.csv`, and the suffixes of their columns."""
COMPARED = [name for name in SYSTEM if name not in (*BOARD, "supervision")]
"""The columns that distinguish two systems of a board."""
COMPARISONS = [
    *BOARD,
    *(f"{column}_{side}" for side in "ab" for column in COMPARED),
    *("measure", "mean_a", "mean_b", "difference", "low", "high", "interval", "effect"),
    *("p_queries", "p_seeds", "p_holm", "family", "queries", "seeds_a", "seeds_b"),
]

SHARES = [*SYSTEM, "seed", "language", "documents", "top", "ratio"]
ACROSS = [column for column in SYSTEM if column not in ("pair", "train")]
"""The columns that a system has in common on all pairs."""
GAPS = [*ACROSS, "measure", "pairs", "mean", "much", "little", "gap", "worst_pair", "worst", "best_pair", "best"]


class Leaderboard:
    """The leaderboard of some cells. `boards` are the systems by collection, pair and encoder, and `systems` are in
    their order. `standings` and `comparisons` are frames of `bench.report.comparison`, with systems as indices.
    """

    def __init__(self, cells: Sequence[Record], store: Store, baseline: str = BASELINE, notes: Sequence[str] = ()):
        self.cells, self.store, self.baseline, self.notes = cells, store, baseline, notes
        found = gather(cells)
        self.measures = list(dict.fromkeys(measure for system in found for measure in system.measures))
        self.boards = [members for _, members in sorted(boards(found).items())]
        self.systems = [system for members in self.boards for system in members]
        frames = [standings(members, self.measures, baseline) for members in self.boards]
        place = {system: i for i, system in enumerate(self.systems)}
        self.standings = _joined([frame for frame, _ in frames], [*STANDING, *AGAINST])
        self.standings["system"] = self.standings["system"].map(place).astype(int)
        self.comparisons = _joined([frame for _, frame in frames], COMPARISON)
        for side in "ab":
            self.comparisons[side] = self.comparisons[side].map(place).astype(int)

    @cached_property
    def bounds(self) -> frozenset[int]:
        """The systems with queries in the language of the documents, which are bounds."""
        known = registry.bounds()
        return frozenset(
            i for i, system in enumerate(self.systems) if any(method.name in known for method in system.spec.methods)
        )

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The standings for display: bounds have no rank, and the others are ranked among themselves."""
        frame = self.standings.copy()
        frame.loc[frame["system"].isin(self.bounds), ["best_rank", "worst_rank"]] = pd.NA
        rivals = frame[frame["best_rank"].notna()]
        for _, own in rivals.groupby([rivals["system"].map(self.names["board"]), "measure"]):
            compared = self.comparisons[self.comparisons["measure"] == own["measure"].iloc[0]]
            frame.loc[own.index, ["best_rank", "worst_rank"]] = list(
                zip(*ranks(list(own["system"]), compared), strict=True)
            )
        return frame

    def choose(
        self, methods: Sequence[str] = (), datasets: Sequence[str] = (), pairs: Sequence[str] = ()
    ) -> frozenset[int]:
        """Return the systems with these names, by default all. Raises `BenchError` for a name that no system has."""
        chosen = self.names
        for column, wanted in (("dataset", datasets), ("pair", pairs)):
            for name in wanted:
                if name not in set(self.names[column]):
                    raise unknown(f"{column} in the results:", name, set(self.names[column]))
            chosen = chosen[chosen[column].isin(wanted)] if wanted else chosen
        specs = [system.spec for system in self.systems]
        named = [spec for text in methods for spec in select(text, specs, "method in the results:")]
        return frozenset(i for i in chosen.index if not methods or self.systems[i].spec in named)

    @cached_property
    def names(self) -> pd.DataFrame:
        """The columns of each system, with its `name` and the index of its `board`."""
        members = [(i, system) for i, systems in enumerate(self.boards) for system in systems]
        rows = [{**system.spec.columns, "name": system.name, "board": i} for i, system in members]
        return pd.DataFrame(rows, columns=[*SYSTEM, "name", "board"])

    @cached_property
    def labels(self) -> list[tuple[str, ...]]:
        """The method of each system, its settings, and its differences from systems of the same name.

        Systems that differ only in the board share a label.
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
            with_encoder = f", encoder {Path(encoder).name}" if encoder else ""  # imported runs may have none
            titles.append(f"{dataset} {pair}, {queries:,} queries{with_encoder}")
        return titles

    @cached_property
    def wide(self) -> pd.DataFrame:
        """A row per system: for each measure mean, sd over seeds, interval, ranks and corrected p-value."""
        sizes = [{"seeds": len(system.seeds), "queries": len(system.queries)} for system in self.systems]
        frame = self.names[SYSTEM].join(pd.DataFrame(sizes))
        frame["interval"] = self.standings.groupby("system")["interval"].last()
        frame["baseline"] = self.baseline
        for measure in self.measures:
            values = self.standings[self.standings["measure"] == measure].set_index("system")[list(PER_MEASURE)]
            frame = frame.join(values.set_axis([f"{measure}{part}" for part in PER_MEASURE.values()], axis=1))
        return _sorted(frame.round(DECIMALS))

    def families(self, board: int, measure: str) -> dict[str, int]:
        """Return the number of comparisons in the families of ranks and p-values of a board."""
        members = self.names.index[self.names["board"] == board]
        compared = self.comparisons[self.comparisons["measure"] == measure]["a"].isin(members).sum()
        standings = self.standings[self.standings["measure"] == measure]
        against = standings.loc[standings["system"].isin(members), "p"].notna().sum()
        return {name: int(size) for name, size in (("rank", compared), ("p", against)) if size}

    def seed_remarks(self, board: int, measure: str) -> list[str]:
        """Return a line for each system of a board with outlying or failed seeds."""
        lines = []
        for label, system in zip(self.labels, self.systems, strict=True):
            if system in self.boards[board]:
                texts = outlying_seeds(system, measure), failed_seeds(system, self.store)
                lines += [f"{' · '.join(label)}: {text}" for text in texts if text]
        return sorted(lines)

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
    for i, interval in zip(scored, computed_once(query_bootstrap, list(scored.values())), strict=True):
        rows[i] |= zip(("value", "low", "high"), interval, strict=False)
    return _sorted(pd.DataFrame(rows, columns=LONG))


def cost_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return the cost of each cell's training and evaluation: seconds, steps, tokens, epochs of the pair, MiB."""
    rows = []
    for cell in cells:
        training = {"seconds": None, "cpu_seconds": None, **cell.trained.get("cost", {})}
        pair = str(cell.spec.pair and cell.spec.pair.training)
        training["epochs"] = (training.get("epochs") or {}).get(pair)
        row: dict[str, Any] = {**cell.spec.columns}
        row |= {f"training_{name}": value for name, value in training.items()}
        row |= {f"evaluation_{name}": value for name, value in cell.manifest["cost"].items()}
        row["documents_cached"] = cell.manifest["documents_cached"]
        row["diagnostics"] = diagnostics_text(cell.trained.get("diagnostics", {}))
        rows.append(row)
    return _sorted(pd.DataFrame(rows)).rename(columns=lambda name: name.replace("training_trained_", "trained_"))


def share_frame(cells: Iterable[Record]) -> pd.DataFrame:
    """Return a row per language and cell of a multilingual collection.

    The columns are the share of the language in the collection (`documents`) and in the first ten documents of all
    queries (`top`), and the ratio of both, 1 without bias.
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
    if not any(cell.manifest.get("languages") for cell in system.cells):
        return ""
    ratios = share_frame(system.cells).groupby("language")["ratio"].mean().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{language} {ratio:.1f}x" for language, ratio in ratios.items())


def index_recall(system: System) -> str:
    """Return the recall of the system's approximate index, averaged over seeds; empty for exact search."""
    facts = pd.DataFrame([cell.manifest.get("index") or {} for cell in system.cells]).filter(like="recall").mean()
    return ", ".join(f"{name} of the index against exact search: {value:.3f}" for name, value in facts.items())


def gap_frame(systems: Sequence[System], bitext: Mapping[str, int]) -> pd.DataFrame:
    """Return a row per measure and system with several pairs of a collection.

    The columns are the mean over pairs, over the half with the most `bitext` rows (`much`) and over the others
    (`little`), the gap, and the worst and best pair.
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
    """Return the largest number of sentence pairs of any training, for each language pair."""
    found: dict[str, int] = {}
    for cell in cells:
        pair, rows = " + ".join(map(str, cell.spec.pairs)), cell.trained.get("cost", {}).get("bitext_pairs") or 0
        found[pair] = max(found.get(pair, 0), int(rows))
    return found


def diagnostics_text(diagnostics: Mapping[str, float]) -> str:
    """Return diagnostics as `probe_accuracy=0.950`; integers have no decimals."""
    return " ".join(
        f"{name}={value if isinstance(value, int) else format(value, '.3f')}" for name, value in diagnostics.items()
    )


def outlying_seeds(system: System, measure: str) -> str:
    """Return a message about seeds whose mean is an outlier; empty without outliers."""
    if measure not in system.scores:
        return ""
    means = system.scores[measure].mean(axis=1)
    found = outliers(means)
    others = [mean for i, mean in enumerate(means) if i not in found]
    return ", ".join(
        f"seed {system.seeds[i]} is an outlier by {measure} ({means[i]:.3f}; "
        f"others {min(others):.3f} to {max(others):.3f})"
        for i in found
    )


def failed_seeds(system: System, store: Store) -> str:
    """Return a message about failed seeds with the reason; empty without failures."""
    inputs = system.cells[-1].trained.get("inputs") if system.cells else None
    failures = {path.parent.name: path for path in (store.root / TRAININGS).glob(f"*/{FAILURE}")} if inputs else {}
    lines = []
    for seed in sorted({int(seed) for name in failures for seed in re.findall(r"\.seed(\d+)", name)}):
        # A training of another seed with the same settings, data and code has this fingerprint.
        spec = replace(system.spec, seed=seed).training
        entry = store.training(spec.label, training_fingerprint(spec, inputs or {}))
        if str(seed) not in system.seeds and entry.folder.name in failures:
            reason = failures[entry.folder.name].read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
            lines.append(f"seed {seed} failed and is not in the mean ({shortened(reason, REASON)})")
    return ", ".join(lines)


def _joined(frames: Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)] or [pd.DataFrame(columns=list(columns))]
    return pd.concat(filled, ignore_index=True)


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    first = ("dataset", "pair", "encoder", "measure", "method")
    order = dict.fromkeys([*first, *(column.name for column in COLUMNS)])
    return frame.sort_values(
        [column for column in order if column in frame.columns],
        kind="stable",
        key=lambda column: pd.to_numeric(column) if column.name in NUMBERS else column,
    )
