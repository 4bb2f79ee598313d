"""What systems are called where several boards stand side by side: the same name wherever they are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.results.systems import System

APART: dict[str, Callable[[Mapping[str, str]], str]] = {
    "uses": lambda names: f"trains on {names['uses'] or 'nothing'}",
    "scoring": lambda names: f"scoring {names['scoring'] or 'default'}",
    "students": lambda names: f"{names['students'] or 'separate'} students",
    "train": lambda names: f"train {names['train'] or 'default'}",
    "bitext_size": lambda names: f"bitext {level(names)}",
    "bitext_noise": lambda names: f"bitext {level(names)}",
    "budget": lambda names: f"budget {names['budget'] or 'default'}",
}
"""Columns that can tell two systems of a name apart, and what is said of a system by them."""


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
    return Label(names["method"], names["config"], tuple(dict.fromkeys(APART[column](names) for column in columns)))


def level(names: Mapping[str, str]) -> str:
    """How much of the bitext a system trains on, and what share of that is misaligned."""
    size = f"{int(names['bitext_size']):,}" if names["bitext_size"] else "all"
    return f"{size}, {100 * float(names['bitext_noise']):g} % misaligned" if names["bitext_noise"] else size


def _by_name(systems: Sequence[System]) -> dict[str, list[System]]:
    found: dict[str, list[System]] = {}
    for system in systems:
        found.setdefault(system.name, []).append(system)
    return found
