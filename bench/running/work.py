"""The computation of one training and its cells: fit, encode, search, score and store.

Only functions that compute import heavy libraries.
"""

from __future__ import annotations

import csv
import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from bench.data import TestCollection
from bench.dependencies.fingerprint import of_test
from bench.errors import FAILURES, BenchError, CellFailed, describe
from bench.evaluation import measures, tasks
from bench.request import Request
from bench.results.ir_metadata import FILE as IR_METADATA
from bench.results.ir_metadata import to_yaml
from bench.results.provenance import provenance
from bench.results.store import CHECKPOINT, EMBEDDINGS, FAILURE, LOG, RETRIEVER, REWRITTEN, RUN, Entry, Record
from bench.running.callbacks import watchdog, watched
from bench.running.cost import Meter
from bench.running.experiment import Cell, Training
from bench.running.method_specs import load_retriever, make_method
from bench.running.resources import Resources
from bench.storage.atomic import atomic_write, open_gzip
from bench.storage.hashing import digest_texts
from bench.storage.sealed import FILES, Damaged, remove
from bench.system.interrupt import obey_interrupt, remembered_interrupt
from bench.system.machine import prepare_libraries, release_memory
from bench.system.processes import LAST, Worker, Workers

if TYPE_CHECKING:
    from bench.encoders.encoder import Encoder
    from bench.evaluation.evaluate import Evaluation
    from bench.evaluation.retriever import Retriever
    from bench.training.method import Task

MANY_UNKNOWN = 0.01
"""Share of [UNK] among the word pieces of queries above which a message is printed."""


@dataclass(frozen=True)
class Job:
    """A training and its cells in a results folder, with everything that their computation needs."""

    training: Training
    entry: Entry
    cells: Mapping[Cell, Entry]
    resources: Resources
    request: Request
    configuration: str
    """The path of the configuration of the call in the results folder."""
    counter: str
    """The number of the training in the call, as `[2/6]`."""

    def find(self, cell: Cell, *, report: bool = False) -> Record | None:
        """Return a finished cell; None if it is missing or damaged. Damage is printed if `report` is set."""
        try:
            return self.cells[cell].read()
        except Damaged as error:
            if report:
                self.warn(f"{error}; it is computed again")
            return None

    def warn(self, text: str) -> None:
        self.resources.display.warn(f"{self.counter} {text}")

    def fail(self, error: BaseException, cell: Cell | None = None) -> None:
        """Print an error, and write its traceback to the folder of the training or cell."""
        label, entry = (cell.spec.label, self.cells[cell]) if cell else (self.training.spec.label, self.entry)
        path, where = entry.folder / FAILURE, ""
        with suppress(OSError):
            with atomic_write(path) as file:
                file.write("".join(traceback.format_exception(error)))
            where = f" ({path})"
        self.warn(f"FAILED {label}: {describe(error)}{where}")


def perform(job: Job, missing: Sequence[Cell]) -> bool:
    """Train if necessary, and evaluate the missing cells. Return True if data were missing or malformed.

    Errors of data and methods are stored as failures and not raised.
    """
    release_memory()  # of the job before
    prepare_libraries(offline=job.resources.resolver.offline, threads=job.resources.threads)
    retriever: Retriever | None = None
    with remembered_interrupt():
        training = _finished_training(job)
        if training is None:
            try:
                _check_indexes(job, missing)
                task = job.resources.task(job.training.spec)
            except BenchError as error:
                job.fail(error)
                return True
            try:
                retriever, training = train(job, task)
            except FAILURES as error:
                job.fail(error)
                return False

        @cache
        def loaded() -> Retriever:
            folder = job.entry.folder / RETRIEVER
            saved = job.training.spec.methods, folder, job.resources.teacher
            return load_retriever(*saved) if retriever is None else retriever

        bad_input = perform_cells(job, missing, partial(evaluate_cell, load=loaded, training=training))
        job.entry.remove_leftovers()
        return bad_input


def perform_cells(job: Job, missing: Sequence[Cell], evaluate: Callable[[Job, Cell, TestCollection], None]) -> bool:
    """Evaluate each cell; return True and record failures as `perform`."""
    bad_input = False
    for cell in missing:
        obey_interrupt()
        try:
            test = _load_test(job, cell)
        except BenchError as error:
            job.fail(error, cell)
            bad_input = True
            continue
        try:
            evaluate(job, cell, test)
        except FAILURES as error:
            job.fail(error, cell)
    return bad_input


def _finished_training(job: Job) -> Record | None:
    """Return the training if it is finished. A damaged one is reported and deleted."""
    try:
        if record := job.entry.read():
            record.verify()
        return record
    except Damaged as error:
        job.warn(f"{error}; it is trained again")
        remove(job.entry.folder)
        return None


def _check_indexes(job: Job, cells: Sequence[Cell]) -> None:
    """Raise `BenchError` before a training if an index of its cells does not fit the teacher or a collection."""
    for cell in cells:
        if cell.spec.index and job.training.spec.budget:  # a student has the dimension of the teacher
            from bench.evaluation.index import make_index

            make_index(cell.spec.index, job.resources.teacher.dimension, cell.test.summary.documents)


def _load_test(job: Job, cell: Cell) -> TestCollection:
    """Return the test collection of a cell. Raises `BenchError` if it changed after the job was made."""
    test = cell.test.load()
    if of_test(test.name, test.pair, test.digest).items() - job.cells[cell].inputs.items():
        raise BenchError(f"{test.name} {test.pair} has changed since the call began; run it again")
    return test


def train(job: Job, task: Task) -> tuple[Retriever, Record]:
    """Fit a method, and store its retriever and manifest. The cost excludes shared data and student."""
    from bench.evaluation.retriever import DualEncoder
    from bench.training.checkpoint import Checkpoint

    spec, resources, display = job.training.spec, job.resources, job.resources.display
    folder, label = job.entry.begin(), f"{job.counter} {spec.label}"
    log, meter = folder / LOG, Meter(resources.device_type, energy=job.request.energy)
    task.checkpoint = Checkpoint(folder / CHECKPOINT, log=log, on_damage=lambda text: display.warn(f"{label}: {text}"))
    with watched(task, label, log, job.request.timeout, display, meter), followed(job):
        retriever = make_method(spec.methods).fit(task)
        seconds = meter.seconds
    cost = meter.cost
    if not log.is_file():
        raise CellFailed("it deleted the log of its training")
    retriever.save(folder / RETRIEVER, resources.teacher)
    outcome = dict(task.outcome)
    spent = asdict(outcome.pop("spent")) if "spent" in outcome else {}
    sizes = Counter(map(str, task.data.bitext.pairs))
    epochs = {pair: round(rows / sizes[pair], 3) for pair, rows in spent.pop("bitext_rows", {}).items()}
    diagnostics = checked_diagnostics(outcome.pop("diagnostics", {}))
    encoder = retriever.query_encoder if isinstance(retriever, DualEncoder) else None
    record = job.entry.finish(
        {
            "kind": "training",
            "spec": spec.dump(),
            "data_report": task.data.report,
            "vocabulary": encoder and len(encoder.tokenizer),
            "cost": {
                "seconds": round(seconds, 3),
                **cost,
                "bitext_pairs": len(task.data.bitext),
                **{f"trained_{name}": value for name, value in spent.items()},
                "epochs": epochs,
                "parameters": encoder and sum(parameter.numel() for parameter in encoder.parameters()),
            },
            "diagnostics": diagnostics,
            "outcome": outcome,
            "teacher": compare_teacher(task.teacher, resources.teacher),
            "configuration": job.configuration,
            "provenance": provenance(),
        }
    )
    if spent:
        figures = "".join(f", {name} {value:.3f}" for name, value in diagnostics.items())
        display.say(f"{label}: trained {spent['steps']:,} steps in {seconds:.0f} s{figures}")
    return retriever, record


@contextmanager
def followed(job: Job) -> Iterator[None]:
    """Let a process for each further device of the job take part in the training of the block, if it has steps.

    An error of one of them is raised here.
    """
    size = len(job.resources.devices)
    if size == 1 or job.training.spec.budget is None:
        yield
        return
    from bench.encoders.sharing import joined

    def call(rank: int, worker: Worker) -> None:
        try:
            worker.run(follow, job, place, rank)
        except BenchError:
            worker.kill()  # this process would wait for it
            raise

    with TemporaryDirectory() as folder, Workers(size - 1) as workers:
        place = f"file://{folder}/place"
        calls = [workers.submit(partial(call, rank)) for rank in range(1, size)]
        try:
            with joined(place, 0, size, job.resources.device_type, job.request.timeout):
                yield
        except RuntimeError:  # perhaps only the connection to one that failed
            for failed in wait(calls, timeout=LAST).done:
                failed.result()
            raise
        wait(calls)


def follow(job: Job, place: str, rank: int) -> None:
    """Take part in a training that another process leads and stores."""
    from bench.encoders.sharing import joined
    from bench.training.checkpoint import Checkpoint

    resources, size = job.resources, len(job.resources.devices)
    prepare_libraries(offline=resources.resolver.offline, threads=resources.threads)
    own = replace(resources, device=resources.devices[rank])
    with joined(place, rank, size, own.device_type, job.request.timeout):
        task = own.task(job.training.spec)
        task.checkpoint = Checkpoint(job.entry.folder / CHECKPOINT, interval=math.inf)
        make_method(job.training.spec.methods).fit(task)


def checked_diagnostics(diagnostics: Any) -> dict[str, float]:
    """Return the diagnostics of a method. Raises `CellFailed` unless they are numbers by name."""
    try:
        return TypeAdapter(dict[str, int | float]).validate_python(diagnostics)
    except ValueError as error:
        raise CellFailed(f"its diagnostics must be numbers by name, not {diagnostics!r:.80}") from error


def evaluate_cell(job: Job, cell: Cell, test: TestCollection, load: Callable[[], Retriever], training: Record) -> None:
    """Compute and score the run of a cell, or score the stored run of a finished cell by its missing measures.

    The retriever is loaded only if there is no run with enough documents.
    """
    from bench.encoders.encoder import autocast
    from bench.evaluation.evaluate import evaluate

    entry, resources, finished = job.cells[cell], job.resources, job.find(cell)
    if finished and not any(map(measures.is_deep, _lacking(cell, finished))):
        add_measures(job, cell, test, finished)
        return
    retriever = load()
    if not finished:
        entry.begin()
    total, done = len(test.queries) + len(test.documents), 0
    with (
        resources.display.stage(f"{job.counter} {cell.spec.label}: encoding", total, "texts") as stage,
        watchdog(job.request.timeout) as alive,
        Meter(resources.device_type, energy=job.request.energy) as meter,
        autocast(resources.teacher.device, resources.precision_of(cell)),
    ):

        def on_texts(count: int) -> None:
            nonlocal done
            alive()
            obey_interrupt()
            meter.tick()
            done += count
            stage(done)

        evaluation = evaluate(
            retriever,
            test,
            scoring=cell.spec.scoring,
            index=cell.spec.index,
            oracle=job.training.method.oracle,
            cache=resources.cache / EMBEDDINGS,
            scratch=job.entry.folder / EMBEDDINGS,
            depth=measures.depth(cell.measures),
            on_texts=on_texts,
        )
    cost = {
        **{f"{stage}_seconds": round(seconds, 3) for stage, seconds in evaluation.seconds.items()},
        **meter.cost,
        "index_mib": evaluation.index_mib,
    }
    if finished:
        entry.add_scores(finished, tasks.score(evaluation.run, test, _lacking(cell, finished)))
        return
    trained = {key: value for key, value in training.manifest.items() if key not in ("kind", "spec", FILES)}
    finish_cell(job, cell, test, evaluation, cost, {"training": training.folder.name, "trained": trained})


def _lacking(cell: Cell, finished: Record) -> list[str]:
    return [name for name in cell.measures if name not in finished.means]


def add_measures(job: Job, cell: Cell, test: TestCollection, finished: Record) -> None:
    """Score the stored run of a finished cell by its missing measures."""
    from bench.evaluation.run_files import read_run

    scores = tasks.score(read_run(finished.run), test, _lacking(cell, finished))
    job.cells[cell].add_scores(finished, scores)


def finish_cell(
    job: Job,
    cell: Cell,
    test: TestCollection,
    evaluation: Evaluation,
    cost: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> None:
    """Score and store an evaluation; `origin` is the entry `trained` of the manifest."""
    from bench.evaluation.run_files import write_run

    entry, folder = job.cells[cell], job.cells[cell].folder
    if (unknown := evaluation.unknown_pieces or 0) > MANY_UNKNOWN:
        job.warn(f"{cell.spec.label}: {unknown:.1%} of the queries' word pieces are unknown to the encoder ([UNK])")
    scores = tasks.score(evaluation.run, test, cell.measures)
    entry.write_scores(scores)
    if evaluation.rewritten:
        with atomic_write(folder / REWRITTEN) as file:
            rows = zip(test.query_ids, test.queries, evaluation.rewritten, strict=True)
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)
    run = {query: ranking[: measures.RUN_DEPTH] for query, ranking in evaluation.run.items()}
    write_run(folder / RUN, run, tag=cell.spec.method)
    with open_gzip(folder / RUN) as lines:
        run_digest = digest_texts(lines)  # of the uncompressed text
    manifest = {
        "kind": "cell",
        "spec": cell.spec.dump(),
        "fingerprint": entry.fingerprint,
        "inputs": entry.inputs,
        "places": _places(job),
        **origin,
        "queries": len(test.queries),
        "queries_left_out": test.left_out,
        "documents": len(test.documents),
        "cost": dict(cost),
        "documents_cached": evaluation.documents_cached,
        "index": evaluation.index,
        "unnormalised": evaluation.unnormalised,
        "unknown_pieces": evaluation.unknown_pieces,
        "scores": {name: fmean(values.values()) for name, values in scores.items()},
        "run": run_digest,
        **tasks.describe(run, test),
        "sources": _sources(job, cell, origin["trained"]["data_report"]),
        "configuration": job.configuration,
        "provenance": provenance(),
    }
    with atomic_write(folder / IR_METADATA) as file:
        file.write(to_yaml(manifest))
    entry.finish(manifest)


def _places(job: Job) -> dict[str, Any]:
    """Return the absolute paths of the files of a cell, for `bench.running.reproduction`."""
    own = (card for card in job.resources.cards.values() if card.folder and Path(card.folder).is_absolute())
    return {
        "own": [card.model_dump(mode="json", exclude_defaults=True) for card in own],
        "cards": job.request.cards and str(job.request.cards.expanduser().absolute()),
        "mirror": job.request.mirror and str(job.request.mirror.expanduser().absolute()),
    }


def _sources(job: Job, cell: Cell, report: Mapping[str, Any]) -> dict[str, str]:
    """Return the source of each collection of a cell: a repository at a commit, a folder, or a generator."""
    trained = [name.split()[0] for role in ("bitext", "relevance") for name in report.get(role, {})]
    cards = {card.name: card for card in job.resources.cards.values()}
    return {
        name: cards[name].source or cards[name].folder or "generated"
        for name in dict.fromkeys([cell.test.name, *trained])
    }


def compare_teacher(after: Encoder, before: Encoder) -> dict[str, float]:
    """Return the effect of a training on its copy of the teacher, 0 and 0 for a frozen teacher.

    `drift` is the largest change of a weight, `trainable` the number of parameters that require gradients.
    """
    pairs = zip(after.parameters(), before.parameters(), strict=True)
    return {
        "drift": max(float((one.detach() - other.detach()).abs().max()) for one, other in pairs),
        "trainable": float(sum(parameter.numel() for parameter in after.parameters() if parameter.requires_grad)),
    }
