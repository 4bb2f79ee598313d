"""What systems are called where several boards stand side by side: the same name wherever they are the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.results.systems import Boards, System
from bench.spec import COLUMNS


@dataclass(frozen=True, order=True)
class Label:
    """The name of a system; equal for the systems of several boards that differ in nothing but the board."""

    method: str
    config: str = ""
    apart: tuple[str, ...] = ()
    """What tells it apart from others of its method and settings, such as `budget 600steps`."""

    @property
    def details(self) -> tuple[str, ...]:
        """Its settings, if it has any, and what else tells it apart."""
        return (*filter(None, [self.config]), *self.apart)

    def __str__(self) -> str:
        return " · ".join([self.method, *self.details])


def labels(boards: Boards) -> dict[System, Label]:
    """Return the label of each system; no two of a board share one."""
    differ: dict[str, set[str]] = {}
    for systems in boards.values():
        for name, namesakes in _by_name(systems).items():
            told = (column.name for column in COLUMNS if column.apart)
            differ.setdefault(name, set()).update(
                column for column in told if len({system.spec.columns[column] for system in namesakes}) > 1
            )
    return {system: _label(system, differ[system.name]) for systems in boards.values() for system in systems}


def _label(system: System, columns: Collection[str]) -> Label:
    told = (column.apart(system.spec) for column in COLUMNS if column.apart and column.name in columns)
    return Label(system.spec.method, system.spec.columns["config"], tuple(dict.fromkeys(told)))


def _by_name(systems: Sequence[System]) -> dict[str, list[System]]:
    found: dict[str, list[System]] = {}
    for system in systems:
        found.setdefault(system.name, []).append(system)
    return found
