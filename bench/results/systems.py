"""Systems: the cells of a results folder, put together over seeds, with their scores as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.results.store import Entry

IDENTITY = [
    *("method", "config", "uses", "dataset", "pair", "encoder", "scoring"),
    *("students", "train", "bitext_size", "bitext_noise", "budget"),
]
"""What a system is: everything but the seed."""
BOARD = ("dataset", "pair", "encoder")
"""What systems have in common that may be compared."""


@dataclass(frozen=True)
class System:
    """What ranks documents: one or several cells that differ in their seeds alone. Equal only to itself."""

    identity: Mapping[str, str]
    seeds: tuple[str, ...]
    """In the order of the scores' rows; a system that depends on no seed has one, which is empty."""
    queries: tuple[str, ...]
    scores: Mapping[str, np.ndarray]
    """Of each measure that all seeds were scored by, (n_seeds, n_queries) float64."""
    entries: tuple[Entry, ...] = ()
    reported: Mapping[str, float] = field(default_factory=dict)
    """Means that others report, of which no query's score is known."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def name(self) -> str:
        """The method and its settings."""
        return f"{self.identity['method']} {self.identity['config']}".strip()

    def mean(self, measure: str) -> float:
        """Over seeds and queries; NaN if it was not scored by the measure."""
        if measure in self.scores:
            return float(self.scores[measure].mean())
        return self.reported.get(measure, float("nan"))

    @property
    def measures(self) -> tuple[str, ...]:
        """What it has a mean of."""
        return tuple(dict.fromkeys([*self.scores, *self.reported]))


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


def gather(entries: Iterable[Entry]) -> list[System]:
    """The systems of these cells, in the order of their first one.

    Cells without any score are left out, and of a system's cells those that were asked other queries than its last one.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        names = identity(entry.manifest)
        groups.setdefault(tuple(names[column] for column in IDENTITY), []).append(entry)
    found = (_system(dict(zip(IDENTITY, key, strict=True)), members) for key, members in groups.items())
    return [system for system in found if system is not None]


def _system(names: Mapping[str, str], members: Sequence[Entry]) -> System | None:
    by_seed = sorted(((str(entry.manifest.get("seed", "")), entry) for entry in members), key=_seed_order)
    scored = [(seed, entry, scores) for seed, entry in by_seed if (scores := entry.read_scores())]
    if not scored:
        reported = {name: float(value) for name, value in members[-1].manifest.get("reported", {}).items()}
        return System(names, ("",), (), {}, tuple(members[-1:]), reported) if reported else None
    queries = tuple(next(iter(scored[-1][2].values())))
    same = [row for row in scored if set(next(iter(row[2].values()))) == set(queries)]
    measures = [name for name in same[0][2] if all(name in scores for _, _, scores in same)]
    return System(
        names,
        tuple(seed for seed, _, _ in same),
        queries,
        {name: np.array([[scores[name][query] for query in queries] for _, _, scores in same]) for name in measures},
        tuple(entry for _, entry, _ in same),
    )


def _seed_order(item: tuple[str, Entry]) -> tuple[int, str]:
    return len(item[0]), item[0]


def boards(systems: Iterable[System]) -> dict[tuple[str, ...], list[System]]:
    """The systems that may be compared, by collection, pair and encoder."""
    found: dict[tuple[str, ...], list[System]] = {}
    for system in systems:
        found.setdefault(tuple(system.identity[column] for column in BOARD), []).append(system)
    return found
