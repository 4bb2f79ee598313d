"""One training with its cells, and everything that a process needs to compute them."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bench.data import TestCollection
from bench.dependencies.fingerprint import of_test
from bench.errors import BenchError, describe
from bench.progress import Display
from bench.request import Request
from bench.results.store import FAILURE, Entry
from bench.running.experiment import Cell, Training
from bench.running.resources import Resources


@dataclass(frozen=True)
class Job:
    """A training and its cells in a results folder."""

    training: Training
    entry: Entry
    inputs: Mapping[str, str]
    """Digests of the training's inputs, by name; its spec is not among them."""
    cells: Mapping[Cell, Entry]
    cell_inputs: Mapping[Cell, Mapping[str, str]]
    resources: Resources
    request: Request
    configuration: str
    """The path of the call's effective configuration in the results folder."""
    counter: str
    """The number of the training among those of the call, as `[2/6]`."""

    @property
    def display(self) -> Display:
        return self.resources.display

    def load_test(self, cell: Cell) -> TestCollection:
        """Return the test collection of a cell. Raises `BenchError` if it changed after the job was made."""
        test = cell.test.load()
        if of_test(test.name, test.pair, test.digest).items() - self.cell_inputs[cell].items():
            raise BenchError(f"{test.name} {test.pair} has changed since the call began; run it again")
        return test

    def failure(self, error: BaseException, cell: Cell | None = None) -> str:
        """Write the traceback of an error to the folder of the training, or of a cell; return one line about it."""
        label, entry = (cell.spec.label, self.cells[cell]) if cell else (self.training.spec.label, self.entry)
        kept = entry.fail("".join(traceback.format_exception(error)))
        where = f" ({entry.folder / FAILURE})" if kept else ""
        return f"{self.counter} FAILED {label}: {describe(error)}{where}"


class Done(NamedTuple):
    """The outcome of a job."""

    trained: bool = False
    """True if steps were trained."""
    bad_input: bool = False
    """True if it failed because data were missing or malformed."""
    failures: tuple[str, ...] = ()
    """A line for each training or cell that failed."""
