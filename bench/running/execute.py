"""Running an experiment: finished cells are read, missing ones are computed, and the results folder keeps all of them.

The methods of plugins run in a process of their own.
"""

import operator
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeGuard

import tomli_w
from filelock import Timeout

from bench.errors import BenchError, describe
from bench.evaluation import measures
from bench.request import Request
from bench.results.store import Record, Store, training_fingerprint
from bench.running.experiment import Cell, Experiment, Training
from bench.running.fusion import is_current, perform_fusion
from bench.running.resources import Resources
from bench.running.work import Job, perform
from bench.storage.atomic import atomic_write
from bench.storage.hashing import digest, digest_bytes
from bench.storage.sealed import remove
from bench.system.interrupt import obey_interrupt
from bench.system.processes import Worker

LEAST_PATIENCE = 60.0
"""The shortest silence in seconds after which a plugin's process is killed: it imports the libraries first."""
OF_THE_CALL = {"overwrite", "quiet", "timeout", "energy"}
"""Options about how a call does its work, which change no result."""


@dataclass
class Outcome:
    """The outcome of a call: its finished cells, and the counts of those computed, reused and failed."""

    cells: list[Record] = field(default_factory=list)
    computed: int = 0
    reused: int = 0
    failed: int = 0
    bad_input: bool = False

    @property
    def exit_code(self) -> int:
        """0 done, 1 a cell failed, 2 bad input."""
        return 2 if self.bad_input else int(self.failed > 0)


@dataclass
class Executor:
    """Runs the trainings and cells of an experiment one after another, in one results folder."""

    resources: Resources
    request: Request
    store: Store
    worker: Worker | None = None
    """The process of plugins; without one their methods run in this process."""

    def run(self, experiment: Experiment) -> Outcome:
        """Compute every missing cell. Trainings of another process come last. A failure is recorded in the cell's
        folder, and the others go on. Raises `BenchError` only for errors that concern all cells.
        """
        outcome = Outcome()
        configuration = keep_configuration(self.store, self.request, experiment)
        _ = self.resources.identity  # without a teacher no cell can be computed, so its absence stops the call
        left = deque((number, False, *item) for number, item in enumerate(experiment.cells.items(), start=1))
        while left:
            obey_interrupt()
            number, wait, training, cells = left.popleft()
            if training.method.parts and not all(other.method.parts for _, _, other, _ in left):
                left.append((number, wait, training, cells))  # the runs that it fuses are computed first
                continue
            counter = f"[{number}/{len(experiment.cells)}]"
            try:
                job = self._job(training, cells, configuration, counter)
                entries = (job.entry, *job.cells.values())
                self.store.note({name: value for entry in entries for name, value in entry.inputs.items()})
                if wait:
                    self.resources.display.say(f"{counter} {training.spec.label}: waiting for another process")
                with self.store.lock(job.entry).acquire(timeout=-1 if wait else 0):
                    self._finish(job, outcome)
            except Timeout:
                left.append((number, True, training, cells))
            except (BenchError, OSError) as error:  # of the data; of a lock or the record of a failure
                self.resources.display.warn(f"{counter} FAILED {training.spec.label}: {describe(error)}")
                outcome.failed += len(cells)
                outcome.bad_input |= isinstance(error, BenchError)
        return outcome

    def finished(self, experiment: Experiment) -> set[Cell]:
        """Return the finished cells that are known without reading texts, training a teacher or opening a socket."""
        found = set()
        for training, cells in experiment.cells.items():
            with suppress(BenchError):
                if self.resources.are_known(training, cells):
                    job = self._job(training, cells)
                    found |= {cell for cell in cells if _is_complete(job.find(cell), cell)}
        return found

    def _job(self, training: Training, cells: Sequence[Cell], configuration: str = "", counter: str = "") -> Job:
        """Return the job of a training and its cells. Raises `BenchError` for data that are missing or malformed."""
        inputs = self.resources.training_inputs(training)
        fingerprint = training_fingerprint(training.spec, inputs)
        entries = {}
        for cell in cells:
            own = self.resources.cell_inputs(cell)
            key = digest({"spec": cell.spec.key, "training": fingerprint, "inputs": own})
            entries[cell] = self.store.cell(cell.spec.label, key, own)
        entry = self.store.training(training.spec.label, fingerprint, inputs)
        return Job(training, entry, entries, self.resources, self.request, configuration, counter)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if self.request.overwrite == "always":
            for entry in (*job.cells.values(), job.entry):
                remove(entry.folder)
        missing = []
        for cell, entry in job.cells.items():
            record = job.find(cell, report=True)
            if record and not is_current(record, outcome.cells):
                remove(entry.folder)
                record = None
            if not _is_complete(record, cell):
                missing.append(cell)
            else:
                entry.remove_leftovers()  # it may have been killed right after it finished
                outcome.cells.append(record)
                outcome.reused += 1
        if self.request.overwrite == "never":
            for cell in [cell for cell in missing if job.entry.failed or job.cells[cell].failed]:
                job.warn(f"FAILED before: {cell.spec.label}; run with --overwrite failed to try it again")
                outcome.failed += 1
                missing.remove(cell)
        if missing:
            try:
                if job.training.method.parts:
                    outcome.bad_input |= perform_fusion(job, missing, outcome.cells)
                else:
                    call = operator.call if job.training.method.own or self.worker is None else self.worker.run
                    outcome.bad_input |= call(perform, job, missing)
            except Exception as error:
                job.fail(error)
        for cell in missing:
            record = job.find(cell)
            if _is_complete(record, cell):
                outcome.computed += 1
                outcome.cells.append(record)
            else:
                outcome.failed += 1


def keep_configuration(store: Store, request: Request, experiment: Experiment) -> str:
    """Write the effective configuration of a call, and return its path in the results folder. `bench run --config` with
    that file runs the same again, even if a default changes.
    """
    settings = {name: dict(values) for row in experiment.methods for name, values in row.settings.items() if values}
    values = {
        **request.model_dump(mode="json", exclude_none=True, exclude=OF_THE_CALL),
        "encoder": experiment.encoder,
        "measures": [name for name in experiment.measures if name not in measures.OF_TASKS],
        "recipe": experiment.recipe.model_dump(mode="json", exclude_none=True),
        "method": dict(sorted(settings.items())),
    }
    text = tomli_w.dumps(values)
    name = f"configurations/{digest_bytes(text.encode())[:12]}.toml"
    if not (store.root / name).is_file():
        with atomic_write(store.root / name) as file:
            file.write(text)
    return name


def _is_complete(record: Record | None, cell: Cell) -> TypeGuard[Record]:
    """Return True for a finished cell that has all measures."""
    return record is not None and set(cell.measures) <= record.means.keys()
