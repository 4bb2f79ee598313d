"""The state of a results folder: the latest value of every input that its results were made from.

Judgments, corpora, encoder weights, training data, code and libraries may change in place. Each call notes their
present values. A result belongs to the current state if each of its inputs has the value noted last; tables leave out
all other results. Results of two states therefore never stand side by side, and a return to an earlier state shows its
results again. No clock takes part in that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from bench.storage.hashing import digest
from bench.storage.sealed import Damaged, read_sealed, write_sealed

FILE = "state.json"
LOCKS = "locks"
HOW = ("device", "precision", "threads")
"""Inputs that may differ between the results of one table: how something was computed, not what."""


@dataclass
class State:
    """The latest value of each input by name, and the fingerprint of the latest result of each `question`."""

    inputs: dict[str, str] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> State:
        """Read the state of a results folder; an empty one if it is missing or damaged."""
        try:
            return cls(**json.loads(read_sealed(root / FILE)))
        except Damaged:
            return cls()

    def outdated(self, inputs: Mapping[str, str]) -> str | None:
        """Return the name of the first input whose latest value is another one or unknown."""
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
    """Return the hash of a spec and of its inputs without those about how a result is computed."""
    return digest([spec, shared(inputs)])


def shared(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs that all results of a state have in common, if they have them at all."""
    return {name: value for name, value in inputs.items() if name not in HOW}


def note(root: Path, *, inputs: Mapping[str, str] | None = None, cells: Mapping[str, str] | None = None) -> None:
    """Note the latest values of inputs, and the latest cells of questions."""
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCKS / "state.lock"):
        before = State.read(root)
        after = State(before.inputs | shared(inputs or {}), before.cells | dict(cells or {}))
        if after != before or not (root / FILE).is_file():
            write_sealed(root / FILE, json.dumps(vars(after), sort_keys=True, indent=0).encode())
