"""The state of a results folder: the latest value of every input that its results were made from.

Judgments, corpora, encoder weights, training data, code and libraries may change in place. Each call notes what they
were when it looked. A result belongs to the current state if each of its inputs has the value noted last; all others
are left out of what is shown. So results of two states are never shown side by side, and a return to an earlier state
shows its results again. No clock takes part in that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.fingerprint import digest
from bench.sealed import Damaged, read_sealed, remove, write_sealed

FILE = "state.json"
HOW = ("device", "precision", "threads")
"""Inputs that may differ between the results of one table: how something was computed, not what."""


@dataclass
class State:
    """The latest value of each input by its name, and of results that differ only in how they were computed the
    fingerprint of the latest, by their question.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> State:
        """Read the state of a results folder; an empty one where there is none or it is damaged."""
        try:
            return cls(**json.loads(read_sealed(root / FILE)))
        except Damaged:
            return cls()

    def outdated(self, inputs: Mapping[str, str]) -> str | None:
        """Return the name of the first input that has another value now, or of which the value now is not known."""
        return next((name for name, value in shared(inputs).items() if self.inputs.get(name) != value), None)

    def with_consensus(self, results: Iterable[Mapping[str, str]]) -> State:
        """Return the state with the inputs that are not noted but have the same value in all results."""
        found: dict[str, set[str]] = {}
        for inputs in results:
            for name, value in shared(inputs).items():
                found.setdefault(name, set()).add(value)
        agreed = {name: min(values) for name, values in found.items() if len(values) == 1}
        return State({**agreed, **self.inputs}, self.cells)


def question(spec: str, inputs: Mapping[str, str]) -> str:
    """Return the hash of a spec and of its inputs, less those about how a result is computed."""
    return digest([spec, shared(inputs)])


def shared(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs that all results of a state have in common, if they have them at all."""
    return {name: value for name, value in inputs.items() if name not in HOW}


def note(root: Path, *, inputs: Mapping[str, str] | None = None, cells: Mapping[str, str] | None = None) -> None:
    """Note the latest values of inputs, and the latest cells of questions."""

    def update(state: State) -> None:
        state.inputs |= shared(inputs or {})
        state.cells |= cells or {}

    _change(root, update)


def _change(root: Path, update: Callable[[State], Any]) -> None:
    (root / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(root / "locks" / "state.lock"):
        state = State.read(root)
        before = json.dumps(vars(state))
        update(state)
        after = json.dumps(vars(state), sort_keys=True, indent=0)
        if json.dumps(vars(state)) != before or not (root / FILE).is_file():
            if (root / FILE).is_dir():
                remove(root / FILE)
            write_sealed(root / FILE, after.encode())
