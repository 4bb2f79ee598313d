"""Running an experiment: finished cells are read, missing ones are computed, and the results folder keeps all of them.

Nothing heavy is imported here, so that a call with nothing to do ends at once: `bench.running.work` trains and
evaluates. The methods of plugins run in a process of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import tomli_w
from filelock import Timeout

from bench.errors import BenchError, describe
from bench.evaluation import measures, tasks
from bench.request import Request
from bench.results.state import note
from bench.results.store import Entry, Record, Store
from bench.running.experiment import Cell, Experiment, Training
from bench.running.job import Done, Job
from bench.running.resources import Resources
from bench.storage.atomic import atomic_write
from bench.storage.hashing import digest, digest_bytes
from bench.storage.sealed import Damaged
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
    trained: int = 0
    computed: int = 0
    reused: int = 0
    failed: int = 0
    bad_input: bool = False
    """True if something failed because its input is missing or malformed."""

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
    configuration: str = field(default="", init=False)
    counter: str = field(default="", init=False)

    def run(self, experiment: Experiment) -> Outcome:
        """Compute every missing cell. A failure is recorded in the cell's folder, and the others go on.

        Raises `BenchError` only for what would stop them all.
        """
        outcome = Outcome()
        self.configuration = keep_configuration(self.store, self.request, experiment)
        _ = self.resources.identity  # without a teacher no cell can be computed, so its absence stops the call
        counters = {
            training: f"[{number}/{len(experiment.cells)}]" for number, training in enumerate(experiment.cells, start=1)
        }
        left = deque(experiment.cells.items())
        busy = 0  # how many trainings in a row another process was working on
        while left:
            obey_interrupt()
            training, cells = left.popleft()
            self.counter = counters[training]
            try:
                # What another process is working on comes last; when nothing else is left, wait for it.
                self._run_training(training, cells, outcome, wait=busy > len(left))
                busy = 0
                left.extend(self._spoilt(training, outcome, experiment))
            except Timeout:
                left.append((training, cells))
                busy += 1
            except OSError as error:  # neither a lock nor the record of a failure could be written
                self._warn(f"FAILED {training.spec.label}: {describe(error)}")
                outcome.failed += len(cells)
        return outcome

    def finished(self, experiment: Experiment) -> set[Cell]:
        """Return the finished cells of an experiment, as far as they are known without reading texts, training a
        teacher or opening a socket.
        """
        found = set()
        for training, cells in experiment.cells.items():
            with suppress(BenchError):
                if self.resources.are_known(training, cells):
                    for cell, entry in self._job(training, cells).cells.items():
                        with suppress(Damaged):
                            if (record := entry.read()) and not _lacks_depth(cell, record):
                                found.add(cell)
        return found

    def _job(self, training: Training, cells: Sequence[Cell]) -> Job:
        """Return the job of a training and its cells. Raises `BenchError` for data that are missing or malformed."""
        inputs = self.resources.training_inputs(training)
        fingerprint = digest({"spec": training.spec.training.key, "inputs": inputs})
        cell_inputs = {cell: self.resources.cell_inputs(cell) for cell in cells}
        entries = {
            cell: self.store.cell(
                cell.spec.label, digest({"spec": cell.spec.key, "training": fingerprint, "inputs": own})
            )
            for cell, own in cell_inputs.items()
        }
        return Job(
            training,
            self.store.training(training.spec.label, fingerprint),
            inputs,
            entries,
            cell_inputs,
            self.resources,
            self.request,
            self.configuration,
            self.counter,
        )

    def _run_training(self, training: Training, cells: list[Cell], outcome: Outcome, *, wait: bool) -> None:
        """Finish a training and its cells. Raises `Timeout` if another process is at it, unless it is to `wait`."""
        try:
            job = self._job(training, cells)
        except BenchError as error:
            self._warn(f"FAILED {training.spec.label}: {error}")
            outcome.failed += len(cells)
            outcome.bad_input = True
            return
        of_all = (job.inputs, *job.cell_inputs.values())
        note(self.store.root, inputs={name: value for inputs in of_all for name, value in inputs.items()})
        if wait:
            job.display.say(f"{self.counter} {training.spec.label}: waiting for another process to finish it")
        with self.store.lock(job.entry).acquire(timeout=-1 if wait else 0):
            self._finish(job, outcome)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if self.request.overwrite == "always":
            for entry in (*job.cells.values(), job.entry):
                entry.discard()
        missing = []
        for cell, entry in job.cells.items():
            record = self._find(entry)
            if record is None or _lacks_depth(cell, record):
                missing.append(cell)
                continue
            entry.remove_leftovers()  # it may have been killed right after it finished
            try:
                outcome.cells.append(_with_measures(job, cell, record))
                outcome.reused += 1
            except Exception as error:
                job.display.warn(job.failure(error, cell))
                outcome.failed += 1
        if self.request.overwrite == "never":
            for cell in [cell for cell in missing if job.entry.failed or job.cells[cell].failed]:
                self._warn(f"FAILED before: {cell.spec.label}; run with --overwrite failed to try it again")
                outcome.failed += 1
                missing.remove(cell)
        if missing:
            done = self._perform(job, missing)
            outcome.trained += done.trained
            outcome.bad_input |= done.bad_input
            for line in done.failures:
                job.display.warn(line)
        for cell in missing:
            record = self._find(job.cells[cell])
            if record is None or job.cells[cell].failed:
                outcome.failed += 1
            else:
                outcome.computed += 1
                outcome.cells.append(record)
        note(self.store.root, cells={cell.question: cell.fingerprint for cell in outcome.cells})

    def _perform(self, job: Job, missing: Sequence[Cell]) -> Done:
        """Train and evaluate, a plugin in its own process."""
        from bench.running.work import perform

        if job.training.method.own or self.worker is None:
            return perform(job, missing)
        try:
            return self.worker.run(perform, job, missing)
        except Exception as error:
            return Done(failures=(job.failure(error),))

    def _find(self, entry: Entry) -> Record | None:
        """Return a finished cell; None if there is none. A damaged one is reported."""
        try:
            return entry.read()
        except Damaged as error:
            self._warn(f"{error}; it is computed again")
            return None

    def _spoilt(
        self, training: Training, outcome: Outcome, experiment: Experiment
    ) -> list[tuple[Training, list[Cell]]]:
        """Return the finished cells that a plugin deleted or changed, by training. The plugin has failed then."""
        lost = set() if training.method.own else {cell.spec for cell in outcome.cells if not _is_whole(cell)}
        if not lost:
            return []
        self._warn(
            f"FAILED {training.spec.label}: it deleted or changed {len(lost)} finished cells of this call; they are "
            "computed again"
        )
        own = {cell.spec for cell in experiment.cells[training]}
        mine = [cell for cell in outcome.cells if cell.spec in own]
        outcome.failed += len(mine) or 1
        for cell in mine:
            Entry(cell.folder).discard()
        outcome.cells = [cell for cell in outcome.cells if cell.spec not in lost | own]
        keep_configuration(self.store, self.request, experiment)
        again = {each: [cell for cell in cells if cell.spec in lost - own] for each, cells in experiment.cells.items()}
        return [(each, cells) for each, cells in again.items() if cells]

    def _warn(self, text: str) -> None:
        self.resources.display.warn(f"{self.counter} {text}")


def keep_configuration(store: Store, request: Request, experiment: Experiment) -> str:
    """Write the effective configuration of a call, and return its path in the results folder.

    `bench run --config` with that file runs the same again, even if a default changes. The name of the file is made
    from its content.
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


def _with_measures(job: Job, cell: Cell, record: Record) -> Record:
    """Return a finished cell with the measures that it lacks; its stored run is deep enough for these."""
    from bench.evaluation.run import read_run

    missing = [name for name in cell.measures if name not in record.means]
    if not missing:
        return record
    test = job.load_test(cell)
    return job.cells[cell].add_scores(record, tasks.score(read_run(record.run), test, missing))


def _lacks_depth(cell: Cell, record: Record) -> bool:
    """Return whether a finished cell lacks scores that its stored run is not deep enough for."""
    return not set(filter(measures.is_deep, cell.measures)) <= record.means.keys()


def _is_whole(record: Record) -> bool:
    try:
        return Entry(record.folder, record.fingerprint).read() is not None
    except Damaged:
        return False
