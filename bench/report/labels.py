"""What systems are called where several boards stand side by side: the same name wherever they are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.results.systems import System

APART = {
    "uses": "trains on",
    "scoring": "scoring",
    "students": "students",
    "train": "train",
    "bitext_size": "bitext size",
    "bitext_noise": "bitext noise",
    "budget": "budget",
}
"""Columns that can tell two systems of a name apart, and how they are called."""


@dataclass(frozen=True, order=True)
class Label:
    """The name of a system; equal for the systems of several boards that differ in nothing but the board."""

    method: str
    details: tuple[str, ...] = ()
    """Its settings, and what else tells it apart from others of its name, such as `budget 600steps`."""

    def __str__(self) -> str:
        return " · ".join([self.method, *self.details])


def labels(boards: Mapping[tuple[str, ...], Sequence[System]]) -> dict[System, Label]:
    """The label of each system; no two of a board share one."""
    differ: dict[str, set[str]] = {}
    for systems in boards.values():
        for name, namesakes in _by_name(systems).items():
            differ.setdefault(name, set()).update(
                column for column in APART if len({system.identity[column] for system in namesakes}) > 1
            )
    return {
        system: _label(system, [column for column in APART if column in differ[system.name]])
        for systems in boards.values()
        for system in systems
    }


def _label(system: System, columns: Iterable[str]) -> Label:
    names = system.identity
    settings = [names["config"]] if names["config"] else []
    return Label(names["method"], (*settings, *(f"{APART[name]} {names[name] or 'default'}" for name in columns)))


def _by_name(systems: Sequence[System]) -> dict[str, list[System]]:
    found: dict[str, list[System]] = {}
    for system in systems:
        found.setdefault(system.name, []).append(system)
    return found
