"""Systems: the cells of a results folder, grouped over seeds, with their scores as arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from bench.results.store import Record
from bench.spec import RunSpec


@dataclass(frozen=True, eq=False)
class System:
    """Cells that differ only in their seeds. A system is equal only to itself."""

    spec: RunSpec
    """The spec without a seed."""
    seeds: tuple[str, ...]
    """The seeds in the order of the rows of scores; one empty text for a system without a seed."""
    queries: tuple[str, ...]
    scores: Mapping[str, np.ndarray]
    """The scores by measure, (n_seeds, n_queries) float64, for measures that all seeds have."""
    cells: tuple[Record, ...] = ()
    reported: Mapping[str, float] = field(default_factory=dict)
    """Imported means by measure."""

    @property
    def name(self) -> str:
        return self.spec.name

    def mean(self, measure: str) -> float:
        """Return the mean over seeds and queries; NaN if the measure is missing."""
        if measure in self.scores:
            return float(self.scores[measure].mean())
        return self.reported.get(measure, float("nan"))

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.scores, *self.reported]))

    def trained(self, field: str) -> dict[str, float]:
        """Return the mean `cost` or `diagnostics` of its trainings, each over the seeds that have it."""
        values: dict[str, list[float]] = {}
        for cell in self.cells:
            for name, value in cell.trained.get(field, {}).items():
                if isinstance(value, int | float):
                    values.setdefault(name, []).append(value)
        return {name: each[0] if len(each) == 1 else fmean(each) for name, each in values.items()}


def gather(cells: Iterable[Record]) -> list[System]:
    """Return the systems of cells with scores. All cells of a system must have the queries of its last cell."""
    groups: dict[RunSpec, list[Record]] = {}
    for cell in cells:
        groups.setdefault(cell.spec.system, []).append(cell)
    return [system for spec, members in groups.items() if (system := _system(spec, members)) is not None]


def _system(spec: RunSpec, members: Sequence[Record]) -> System | None:
    by_seed = sorted(members, key=lambda cell: -1 if cell.spec.seed is None else cell.spec.seed)
    scored = [cell for cell in by_seed if cell.scores]
    if not scored:
        reported = {name: float(value) for name, value in members[-1].manifest.get("reported", {}).items()}
        return System(spec, ("",), (), {}, tuple(members[-1:]), reported) if reported else None
    queries = tuple(next(iter(scored[-1].scores.values())))
    same = [cell for cell in scored if set(next(iter(cell.scores.values()))) == set(queries)]
    measures = [name for name in same[0].scores if all(name in cell.scores for cell in same)]
    return System(
        spec,
        tuple(cell.spec.columns["seed"] for cell in same),
        queries,
        {name: np.array([[cell.scores[name][query] for query in queries] for cell in same]) for name in measures},
        tuple(same),
    )


def boards(systems: Iterable[System]) -> dict[tuple[str, ...], list[System]]:
    """Return the systems by board: collection, pair and encoder."""
    found: dict[tuple[str, ...], list[System]] = {}
    for system in systems:
        found.setdefault(system.spec.board, []).append(system)
    return found
