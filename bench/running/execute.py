"""Running a plan: what is finished is found, what is missing is made, and everything is kept.

Nothing heavy is imported here, so that a call with nothing to do is over at once: `bench.running.work` trains and
evaluates. The methods of plugins do so in a process of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import Timeout

from bench.cache import default_cache
from bench.errors import BenchError, describe
from bench.evaluation import measures
from bench.interrupt import obey_interrupt
from bench.processes import Worker
from bench.progress import Display
from bench.request import Request
from bench.results.state import note
from bench.results.store import Entry, Record, Store
from bench.running.configuration import keep_configuration
from bench.running.job import Done, Job, Workplace, load_test, make_job, perform, record_failure
from bench.running.materials import Materials
from bench.running.plan import Cell, Plan, Training
from bench.sealed import Damaged

LEAST_PATIENCE = 60.0
"""Seconds of silence at least before a plugin's process is killed: it imports the libraries first."""


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
    """Runs the trainings and cells of a plan one after another, in one results folder."""

    materials: Materials
    request: Request
    store: Store
    display: Display
    worker: Worker | None = None
    """A process for plugins; without one their methods run in this process."""
    cache: Path = field(default_factory=default_cache)

    def run(self, plan: Plan) -> Outcome:
        """Finish every cell that can be finished; one that fails is recorded in its folder, and the others go on.

        Raises `BenchError` only for what would stop them all.
        """
        outcome = Outcome()
        configuration = keep_configuration(self.store, self.request, plan)
        self.place = Workplace(self.materials, self.request, self.store, self.cache, configuration)
        _ = self.materials.identity  # without a teacher there is nothing to do, so let its absence stop everything
        numbers = {training: number for number, training in enumerate(plan.cells, start=1)}
        left = deque(plan.cells.items())
        passed_over = 0
        while left:
            obey_interrupt()
            training, cells = left.popleft()
            self.counter = f"[{numbers[training]}/{len(numbers)}]"
            try:
                # What another process is working on comes last; when nothing else is left, wait for it.
                self._run_training(training, cells, outcome, patient=passed_over > len(left))
                passed_over = 0
                left.extend(self._spoilt(training, outcome, plan))
            except Timeout:
                left.append((training, cells))
                passed_over += 1
            except OSError as error:  # not even a lock could be written, or a failure recorded
                self.display.warn(f"{self.counter} FAILED {training.label}: {describe(error)}")
                outcome.failed += len(cells)
        return outcome

    def _run_training(self, training: Training, cells: list[Cell], outcome: Outcome, *, patient: bool) -> None:
        """Finish a training and its cells. Raises `Timeout` if another process is at it, unless `patient`."""
        try:
            job = make_job(self.materials, self.store, training, cells, self.counter)
        except BenchError as error:
            self.display.warn(f"{self.counter} FAILED {training.label}: {error}")
            outcome.failed += len(cells)
            outcome.bad_input = True
            return
        note(self.store.root, inputs=job.all_inputs)
        if patient:
            self.display.say(f"{self.counter} {training.label}: waiting for another process to finish it")
        with self.store.lock(job.entry).acquire(timeout=-1 if patient else 0):
            self._finish(job, outcome)

    def _spoilt(self, training: Training, outcome: Outcome, plan: Plan) -> list[tuple[Training, list[Cell]]]:
        """Return what is to be done again because a plugin deleted or changed what was finished; it has failed then."""
        if training.row.own:
            return []
        lost = {record.spec for record in outcome.cells if not _is_whole(record)}
        if not lost:
            return []
        self.display.warn(
            f"{self.counter} FAILED {training.label}: it deleted or changed {len(lost)} finished cells of this call; "
            "they are computed again"
        )
        own = {cell.spec for cell in plan.cells[training]}
        outcome.failed += sum(record.spec in own for record in outcome.cells) or 1
        for record in outcome.cells:
            if record.spec in own:
                Entry(record.folder).discard()
        outcome.cells = [record for record in outcome.cells if record.spec not in lost | own]
        keep_configuration(self.store, self.request, plan)
        again = {each: [cell for cell in cells if cell.spec in lost - own] for each, cells in plan.cells.items()}
        return [(each, cells) for each, cells in again.items() if cells]

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if self.request.overwrite == "always":
            for old in (*job.cells.values(), job.entry):
                old.discard()
        for entry in (*job.cells.values(), job.entry):
            with suppress(Damaged):
                if entry.read():
                    entry.tidy()  # what a process left that was killed right after it finished
        found = {cell: self._find(entry) for cell, entry in job.cells.items()}
        missing = [cell for cell, record in found.items() if record is None or _lacks_depth(cell, record)]
        if self.request.overwrite == "never":
            given_up = [cell for cell in missing if job.entry.failed or job.cells[cell].failed]
            for cell in given_up:
                self.display.warn(f"{self.counter} FAILED before: {cell.label}; --overwrite failed tries it again")
            outcome.failed += len(given_up)
            found = {cell: record for cell, record in found.items() if cell not in given_up}
            missing = [cell for cell in missing if cell not in given_up]
        if missing:
            done = self._perform(job, missing)
            outcome.trained += done.trained
            outcome.bad_input |= done.bad_input
            for line in done.failures:
                self.display.warn(line)
        for cell, before in found.items():
            record = self._find(job.cells[cell]) if cell in missing else before
            if record is None or (cell in missing and job.cells[cell].failure):
                outcome.failed += 1
                continue
            try:
                record = self._score(job, cell, record)
            except Exception as error:
                self.display.warn(record_failure(job, cell.label, job.cells[cell], error))
                outcome.failed += 1
                continue
            outcome.computed += cell in missing
            outcome.reused += cell not in missing
            outcome.cells.append(record)
        note(self.store.root, cells={cell.question: cell.fingerprint for cell in outcome.cells})

    def _perform(self, job: Job, missing: Sequence[Cell]) -> Done:
        """Train and evaluate, a plugin in its own process."""
        if job.training.row.own or self.worker is None:
            return perform(self.place, job, missing)
        try:
            return self.worker.run(perform, self.place, job, missing)
        except Exception as error:
            return Done(failures=(record_failure(job, job.training.label, job.entry, error),))

    def _find(self, entry: Entry) -> Record | None:
        """Return a finished cell; None where there is none. Of one that is damaged, with a line, what is left: all but
        its scores, or nothing.
        """
        try:
            return entry.read()
        except Damaged as error:
            self.display.warn(f"{self.counter} {error}; it is computed again")
            return entry.unscored()

    def _score(self, job: Job, cell: Cell, record: Record) -> Record:
        """Add the measures that a cell lacks; its stored run is deep enough for these."""
        from bench.evaluation.run import read_run
        from bench.evaluation.scoring import score

        missing = [name for name in cell.measures if name not in record.measures]
        if not missing:
            return record
        return job.cells[cell].add_scores(record, score(read_run(record.run), load_test(job, cell), missing))


def _is_whole(record: Record) -> bool:
    try:
        return Entry(record.folder, record.fingerprint).read() is not None
    except Damaged:
        return False


def finished_cells(materials: Materials, store: Store, plan: Plan) -> set[Cell]:
    """Return the cells of a plan that are finished, as far as that shows without reading texts, making a teacher, or
    opening a socket.
    """
    found = set()
    for training, cells in plan.cells.items():
        with suppress(BenchError):
            if materials.are_known(training, cells):
                for cell, entry in make_job(materials, store, training, cells).cells.items():
                    with suppress(Damaged):
                        if (record := entry.read()) and not _lacks_depth(cell, record):
                            found.add(cell)
    return found


def _lacks_depth(cell: Cell, record: Record) -> bool:
    """Return whether a finished cell lacks scores that its stored run is not deep enough for."""
    return not set(filter(measures.is_deep, cell.measures)) <= record.measures
