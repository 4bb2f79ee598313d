"""One training with its cells: what it depends on, where its results belong, and how it is done, in any process."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.data import TestCollection
from bench.errors import BenchError, describe
from bench.fingerprint import of_test
from bench.interrupt import remembered_interrupt
from bench.progress import Display
from bench.request import Request
from bench.results.store import FAILURE, Entry, Store
from bench.running.materials import Materials, cell_fingerprint, training_fingerprint
from bench.running.plan import Cell, Training


@dataclass(frozen=True)
class Job:
    """A training and its cells in a results folder."""

    training: Training
    inputs: Mapping[str, str]
    """Digests of the training's inputs, by name; its spec is not among them."""
    entry: Entry
    cells: Mapping[Cell, Entry]
    cell_inputs: Mapping[Cell, Mapping[str, str]]
    counter: str = ""
    """Its number among those of the call, for people."""

    @property
    def all_inputs(self) -> dict[str, str]:
        """The inputs of the training and of its cells."""
        found = dict(self.inputs)
        for inputs in self.cell_inputs.values():
            found |= inputs
        return found


@dataclass(frozen=True)
class Workplace:
    """The objects that all jobs of a call share."""

    materials: Materials
    request: Request
    store: Store
    cache: Path
    configuration: str
    """The path of the call's effective configuration in the results folder."""

    @property
    def display(self) -> Display:
        return self.materials.display


def make_job(materials: Materials, store: Store, training: Training, cells: Sequence[Cell], counter: str = "") -> Job:
    """Return the job of a training and its cells. Raises `BenchError` for data that are missing or malformed."""
    inputs = materials.training_inputs(training)
    fingerprint = training_fingerprint(training.spec, inputs)
    own = {cell: materials.cell_inputs(cell) for cell in cells}
    entries = {cell: store.cell(cell.label, cell_fingerprint(cell.spec, fingerprint, own[cell])) for cell in cells}
    return Job(training, inputs, store.training(training.label, fingerprint), entries, own, counter)


def load_test(job: Job, cell: Cell) -> TestCollection:
    """Return the test collection of a cell. Raises `BenchError` if it is no longer that of the cell's fingerprint."""
    test = cell.test.load()
    if of_test(test.name, test.pair, test.digest).items() - job.cell_inputs[cell].items():
        raise BenchError(f"{test.name} {test.pair} has changed since the call began; run it again")
    return test


class Done(NamedTuple):
    """The outcome of a job."""

    trained: bool = False
    """True if steps were trained."""
    bad_input: bool = False
    """True if it failed because data were missing or malformed."""
    failures: tuple[str, ...] = ()
    """A line for each training or cell that failed."""


def perform(place: Workplace, job: Job, missing: Sequence[Cell]) -> Done:
    """Compute the missing parts of a job. Failures are recorded, and raise nothing."""
    # Here, because they import all that computes.
    from bench.libraries import prepare_libraries
    from bench.running.work import do

    prepare_libraries(offline=place.materials.resolver.offline, threads=place.materials.threads)
    with remembered_interrupt():
        return do(place, job, missing)


def record_failure(job: Job, label: str, entry: Entry, error: BaseException) -> str:
    """Write the traceback of an error to the entry's folder; return one line about it."""
    text = "".join(traceback.format_exception(error))
    where = f" ({entry.folder / FAILURE})" if entry.fail(text) else ""
    return f"{job.counter} FAILED {label}: {describe(error)}{where}"
