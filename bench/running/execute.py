"""The execution of an experiment: read finished cells, and compute and store missing ones.

An engine of `bench.running.engines` computes them.
"""

import itertools
import operator
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeGuard

import tomli_w
from filelock import FileLock, Timeout

from bench.errors import BenchError, describe
from bench.evaluation import measures
from bench.progress import Run
from bench.request import Request
from bench.results.store import Record, Store, training_fingerprint
from bench.running.engines import Engine, at_once
from bench.running.experiment import Cell, Experiment, Training
from bench.running.fusion import is_current, perform_fusion
from bench.running.resources import Resources
from bench.running.work import Job
from bench.storage.atomic import atomic_write
from bench.storage.hashing import digest, digest_bytes
from bench.storage.sealed import remove
from bench.system.interrupt import obey_interrupt

OF_THE_CALL = {"overwrite", "quiet", "timeout", "energy", "jobs", "engine"}
"""Options that change no result."""


@dataclass
class Outcome:
    """The outcome of a call: finished cells, and counts of computed, reused and failed cells."""

    cells: list[Record] = field(default_factory=list)
    computed: int = 0
    reused: int = 0
    failed: int = 0
    bad_input: bool = False

    @property
    def exit_code(self) -> int:
        """0 done, 1 a cell failed, 2 bad input."""
        return 2 if self.bad_input else int(self.failed > 0)


@dataclass(frozen=True)
class Planned:
    """A training and its cells before their computation."""

    counter: str
    training: Training
    cells: Sequence[Cell]
    locked: bool = False
    """True if another process computes them."""

    @property
    def kind(self) -> str:
        """The kind of its cells, of which all take about the same time."""
        return "trained" if self.training.spec.budget else "fused" if self.training.method.parts else "untrained"

    @property
    def late(self) -> tuple[bool, bool]:
        """The place in the order. Fusions come after their parts, and jobs of other processes come last."""
        return bool(self.training.method.parts), self.locked


class Claim(NamedTuple):
    """A job with its lock and its missing cells."""

    planned: Planned
    job: Job
    missing: list[Cell]
    lock: FileLock
    result: Future[bool]
    started: float


@dataclass
class Executor:
    """Compute the trainings and cells of an experiment in one results folder, with an engine."""

    resources: Resources
    request: Request
    store: Store
    engine: Engine = field(default_factory=Engine)

    def run(self, experiment: Experiment) -> Outcome:
        """Compute every missing cell. Trainings of another process come last.

        A failure is stored in the folder of the cell, and the others continue. Raises `BenchError` for errors that
        concern all cells.
        """
        outcome = Outcome()
        configuration = keep_configuration(self.store, self.request, experiment)
        _ = self.resources.identity  # without a teacher no cell can be computed
        counters = (f"[{number}/{len(experiment.cells)}]" for number in itertools.count(1))
        left = [Planned(next(counters), *item) for item in experiment.cells.items()]
        claims: list[Claim] = []
        cells = Counter(planned.kind for planned in left for _ in planned.cells)
        try:
            # All jobs have ended before their locks are released.
            with self.resources.display.running(cells, min(self.engine.slots, len(left))), self.engine:
                try:
                    while left or claims:
                        self._step(left, claims, configuration, outcome)
                except KeyboardInterrupt:
                    self.engine.interrupt()
                    wait([claim.result for claim in claims])
                    raise
        finally:
            for claim in claims:
                claim.lock.release()
        return outcome

    def _step(self, left: list[Planned], claims: list[Claim], configuration: str, outcome: Outcome) -> None:
        """Submit a job if the engine is free, or else wait for the end of a job."""
        obey_interrupt()
        planned = min(left, key=operator.attrgetter("late"), default=None)
        if planned is None or len(claims) == self.engine.slots or (claims and any(planned.late)):
            wait([claim.result for claim in claims], return_when=FIRST_COMPLETED)
            for claim in [claim for claim in claims if claim.result.done()]:
                with self._counted(claim.planned, outcome):
                    self._finish(claim, outcome)
                claim.lock.release()
                claims.remove(claim)
            return
        left.remove(planned)
        try:
            with self._counted(planned, outcome):
                claims.append(self._claim(planned, configuration, outcome))
        except Timeout:
            left.append(replace(planned, locked=True))

    @contextmanager
    def _counted(self, planned: Planned, outcome: Outcome) -> Iterator[None]:
        """Report and count an error of the data, of a lock, or of storing a failure."""
        try:
            yield
        except Timeout:
            raise
        except (BenchError, OSError) as error:
            self.resources.display.warn(f"{planned.counter} FAILED {planned.training.spec.label}: {describe(error)}")
            self._progress.finish(planned.kind, len(planned.cells))
            outcome.failed += len(planned.cells)
            outcome.bad_input |= isinstance(error, BenchError)

    def _claim(self, planned: Planned, configuration: str, outcome: Outcome) -> Claim:
        """Lock a training and submit its missing cells. Raises `Timeout` if another process has the lock."""
        job = self._job(planned.training, planned.cells, configuration, planned.counter)
        entries = (job.entry, *job.cells.values())
        self.store.note({name: value for entry in entries for name, value in entry.inputs.items()})
        if planned.locked:
            self.resources.display.say(f"{planned.counter} {planned.training.spec.label}: waiting for another process")
        lock = self.store.lock(job.entry)
        lock.acquire(timeout=-1 if planned.locked else 0)
        try:
            missing, started = self._missing(job, outcome), time.monotonic()
            if missing and self.engine.slots == 1:
                self._progress.started = planned.kind, len(missing), started
            if not missing:
                result = at_once(bool)
            elif planned.training.method.parts:
                result = at_once(perform_fusion, job, missing, outcome.cells)
            else:
                result = self.engine.submit(job, missing)
        except BaseException:
            lock.release()
            raise
        return Claim(planned, job, missing, lock, result, started)

    @property
    def _progress(self) -> Run:
        """The progress of the call."""
        run = self.resources.display.run
        assert run is not None  # within `Executor.run`
        return run

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
        inputs = self.resources.training_inputs(training)
        fingerprint = training_fingerprint(training.spec, inputs)
        entries = {}
        for cell in cells:
            own = self.resources.cell_inputs(cell)
            key = digest({"spec": cell.spec.key, "training": fingerprint, "inputs": own})
            entries[cell] = self.store.cell(cell.spec.label, key, own)
        entry = self.store.training(training.spec.label, fingerprint, inputs)
        return Job(training, entry, entries, self.resources, self.request, configuration, counter)

    def _missing(self, job: Job, outcome: Outcome) -> list[Cell]:
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
                entry.remove_leftovers()  # leftovers of a kill after the end
                outcome.cells.append(record)
                outcome.reused += 1
        if not missing:
            job.entry.remove_leftovers()
        if self.request.overwrite == "never":
            for cell in [cell for cell in missing if job.entry.failed or job.cells[cell].failed]:
                job.warn(f"FAILED before: {cell.spec.label}; run with --overwrite failed to try it again")
                outcome.failed += 1
                missing.remove(cell)
        return missing

    def _finish(self, claim: Claim, outcome: Outcome) -> None:
        try:
            outcome.bad_input |= claim.result.result()
        except Exception as error:
            claim.job.fail(error)
        planned, seconds = claim.planned, time.monotonic() - claim.started
        self._progress.finish(planned.kind, len(planned.cells), len(claim.missing), seconds)
        for cell in claim.missing:
            record = claim.job.find(cell)
            if _is_complete(record, cell):
                outcome.computed += 1
                outcome.cells.append(record)
            else:
                outcome.failed += 1


def keep_configuration(store: Store, request: Request, experiment: Experiment) -> str:
    """Write the configuration of a call with all defaults, and return its path. `bench run --config` reads it."""
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
    return record is not None and set(cell.measures) <= record.means.keys()
