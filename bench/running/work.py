"""The computation of one training and its cells: fit, encode, search and score, with everything stored."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from numbers import Real
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.data import TestCollection
from bench.encoders.encoder import Encoder
from bench.errors import BenchError, CellFailed, describe
from bench.evaluation import measures, tasks
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.evaluation.run import write_run
from bench.results.ir_metadata import FILE as IR_METADATA
from bench.results.ir_metadata import to_yaml
from bench.results.provenance import PeakMemory, provenance
from bench.results.store import CHECKPOINT, EMBEDDINGS, LOG, RETRIEVER, RUN, Record
from bench.running.callbacks import GivenUp, TrainingCallbacks, watchdog
from bench.running.energy import Meter
from bench.running.experiment import Cell
from bench.running.job import Done, Job
from bench.running.method_specs import load_retriever, make_method
from bench.storage.atomic import atomic_write, open_gzip
from bench.storage.hashing import digest_texts
from bench.storage.sealed import FILES, Damaged
from bench.system.interrupt import obey_interrupt, remembered_interrupt
from bench.system.machine import prepare_libraries
from bench.training.checkpoint import Checkpoint
from bench.training.method import Task


def perform(job: Job, missing: Sequence[Cell]) -> Done:
    """Train if need be, and evaluate the missing cells.

    An error of the data or of a method is recorded as a failure, and raised by nothing; only Ctrl-C ends the call.
    """
    prepare_libraries(offline=job.resources.resolver.offline, threads=job.resources.threads)
    with remembered_interrupt():
        training = _finished_training(job)
        retriever: Retriever | None = None
        trained = bad_input = False
        if training is None:
            try:
                task = job.resources.task(job.training.spec)
            except BenchError as error:
                return Done(bad_input=True, failures=(job.failure(error),))
            try:
                retriever, training = train(job, task)
            except Exception as error:
                return Done(failures=(job.failure(error),))
            trained = job.training.spec.budget is not None
        failures = []
        for cell in missing:
            obey_interrupt()
            try:
                test = job.load_test(cell)
            except BenchError as error:
                failures.append(job.failure(error, cell))
                bad_input = True
                continue
            try:
                if retriever is None:
                    folder = job.entry.folder / RETRIEVER
                    with guarded(job):
                        retriever = load_retriever(job.training.spec.methods, folder, job.resources.teacher)
                evaluate_cell(job, cell, test, retriever, training)
            except Exception as error:
                failures.append(job.failure(error, cell))
        return Done(trained, bad_input, tuple(failures))


@contextmanager
def guarded(job: Job) -> Iterator[None]:
    """Run the code of a method within the block: a `BaseException` of its own is an error like any other, and a fork
    of it that comes back ends. Ctrl-C stays what it is; a plugin cannot pretend it.
    """
    process = os.getpid()
    try:
        yield
    except (Exception, GivenUp):
        raise
    except BaseException as error:
        obey_interrupt()
        if job.training.method.own and isinstance(error, KeyboardInterrupt):
            raise
        raise CellFailed(f"it ended with {describe(error)}") from error
    finally:
        if os.getpid() != process:
            os._exit(1)


def _finished_training(job: Job) -> Record | None:
    """Return the training if it is finished and undamaged; a damaged one is reported and deleted."""
    try:
        if record := job.entry.read():
            record.verify()
            job.entry.remove_leftovers()  # it may have been killed right after it finished
        return record
    except Damaged as error:
        job.display.warn(f"{job.counter} {error}; it is trained again")
        job.entry.discard()
        return None


def train(job: Job, task: Task) -> tuple[Retriever, Record]:
    """Fit a method; store its retriever and the manifest of the training.

    The caller makes data and student before: all methods share them, and the first must not pay for them.
    """
    spec, resources = job.training.spec, job.resources
    folder, label = job.entry.begin(), f"{job.counter} {spec.label}"
    memory, meter = PeakMemory(resources.device_type), Meter(job.request.energy)
    callbacks = TrainingCallbacks(label, folder / LOG, task.budget, job.request.timeout, job.display, meter)
    task.on_step, task.on_resume = callbacks.on_step, callbacks.on_resume
    task.checkpoint = Checkpoint(
        folder / CHECKPOINT, log=folder / LOG, on_damage=lambda text: job.display.warn(f"{label}: {text}")
    )
    with callbacks.watching():
        with guarded(job):
            retriever = make_method(spec.methods).fit(task)
        seconds, cpu_seconds = callbacks.seconds, callbacks.cpu_seconds
    if not (folder / LOG).is_file():
        raise CellFailed("it deleted the log of its training")
    with guarded(job):
        retriever.save(folder / RETRIEVER, resources.teacher)
    outcome = dict(task.outcome)
    spent = asdict(outcome.pop("spent")) if "spent" in outcome else {}
    diagnostics = checked_diagnostics(outcome.pop("diagnostics", {}))
    encoder = retriever.query_encoder if isinstance(retriever, DualEncoder) else None
    record = job.entry.finish(
        {
            "kind": "training",
            "spec": spec.dump(),
            "fingerprint": job.entry.fingerprint,
            "inputs": dict(job.inputs),
            "data_report": task.data.report,
            "vocabulary": encoder and len(encoder.tokenizer),
            "cost": {
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu_seconds, 2),
                "bitext_pairs": len(task.data.bitext),
                **{f"trained_{name}": value for name, value in spent.items()},
                "peak_memory_mib": memory.mebibytes(),
                **meter.cost,
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
        job.display.say(f"{label}: trained {spent['steps']:,} steps in {seconds:.0f} s{figures}")
    return retriever, record


def checked_diagnostics(diagnostics: Any) -> dict[str, float]:
    """Return the diagnostics of a method. Raises `CellFailed` if they are not numbers by name."""
    if not isinstance(diagnostics, Mapping):
        raise CellFailed(f"its diagnostics must be a mapping, not a {type(diagnostics).__name__}")
    for name, value in diagnostics.items():
        if not isinstance(name, str) or not isinstance(value, Real):
            raise CellFailed(f"its diagnostic {name!r} must be a number, not a {type(value).__name__}")
    return {name: value if isinstance(value, int) else float(value) for name, value in diagnostics.items()}


def evaluate_cell(job: Job, cell: Cell, test: TestCollection, retriever: Retriever, training: Record) -> None:
    """Compute and score the run of a cell. A finished cell, which lacks only deeper measures, keeps its run."""
    entry, resources = job.cells[cell], job.resources
    finished = None
    with suppress(Damaged):
        finished = entry.read()
    folder = entry.folder if finished else entry.begin()
    total, done = len(test.queries) + len(test.documents), 0
    memory, meter, cpu_started = PeakMemory(resources.device_type), Meter(job.request.energy), time.process_time()
    with (
        job.display.stage(f"{job.counter} {cell.spec.label}: encoding", total, "texts") as stage,
        watchdog(job.request.timeout) as alive,
        meter,
    ):

        def on_texts(count: int) -> None:
            nonlocal done
            alive()
            obey_interrupt()
            meter.tick()
            done += count
            stage.update(done)

        with guarded(job):
            evaluation = evaluate(
                retriever,
                test,
                scoring=cell.spec.scoring,
                oracle=job.training.method.oracle,
                cache=resources.cache / EMBEDDINGS,
                scratch=folder / EMBEDDINGS,
                depth=measures.depth(cell.measures),
                on_texts=on_texts,
            )
    if finished:
        lacking = [name for name in cell.measures if name not in finished.scores]
        entry.add_scores(finished, tasks.score(evaluation.run, test, lacking))
        return
    scores = tasks.score(evaluation.run, test, cell.measures)
    entry.write_scores(scores)
    if evaluation.rewritten:
        entry.write_rewritten(zip(test.query_ids, test.queries, evaluation.rewritten, strict=True))
    run = {query: ranking[: measures.RUN_DEPTH] for query, ranking in evaluation.run.items()}
    write_run(folder / RUN, run, tag=cell.spec.method)
    with open_gzip(folder / RUN) as lines:
        run_digest = digest_texts(lines)  # of the text, however it is compressed
    manifest = {
        "kind": "cell",
        "spec": cell.spec.dump(),
        "fingerprint": entry.fingerprint,
        "inputs": dict(job.cell_inputs[cell]),
        "places": _places(job, cell),
        "training": training.folder.name,
        "trained": {key: value for key, value in training.manifest.items() if key not in ("kind", "spec", FILES)},
        "queries": len(test.queries),
        "queries_left_out": test.left_out,
        "documents": len(test.documents),
        "cost": {
            **{f"{stage}_seconds": round(seconds, 3) for stage, seconds in evaluation.seconds.items()},
            "cpu_seconds": round(time.process_time() - cpu_started, 3),
            "peak_memory_mib": memory.mebibytes(),
            "index_mib": evaluation.index_mib,
            **meter.cost,
        },
        "documents_cached": evaluation.documents_cached,
        "unnormalised": evaluation.unnormalised,
        "scores": {name: fmean(values.values()) for name, values in scores.items()},
        "run": run_digest,
        **tasks.describe(run, test),
        "sources": _sources(job, cell, training.manifest["data_report"]),
        "configuration": job.configuration,
        "provenance": provenance(),
    }
    with atomic_write(folder / IR_METADATA) as file:
        file.write(to_yaml(manifest))
    entry.finish(manifest)


def _places(job: Job, cell: Cell) -> dict[str, Any]:
    """Return where the files of a cell are, with absolute paths; `bench.running.reproduction` reads them."""
    cards, request = job.resources.cards, job.request
    dataset = next(name for name, card in cards.items() if card.name == cell.test.name)
    return {
        "dataset": _absolute(dataset) if dataset != cell.test.name else dataset,
        "folders": [_absolute(name) for name in request.datasets if cards[name].name != name],
        "cards": request.cards and _absolute(request.cards),
        "mirror": request.mirror and _absolute(request.mirror),
    }


def _absolute(text: str | Path) -> str:
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_dir() else str(text)


def _sources(job: Job, cell: Cell, report: Mapping[str, Any]) -> dict[str, str]:
    """Return where the collections of a cell are from: a repository at a commit, a folder, or a generator."""
    trained = [name.split()[0] for role in ("bitext", "relevance") for name in report.get(role, {})]
    cards = {card.name: card for card in job.resources.cards.values()}
    return {
        name: cards[name].source or cards[name].folder or "generated"
        for name in dict.fromkeys([cell.test.name, *trained])
    }


def compare_teacher(after: Encoder, before: Encoder) -> dict[str, float]:
    """Return the effect of a training on its copy of the teacher, 0 and 0 if that stayed frozen: `drift`, the largest
    change of a weight, and `trainable`, the number of parameters that require gradients.
    """
    pairs = zip(after.parameters(), before.parameters(), strict=True)
    return {
        "drift": max(float((one.detach() - other.detach()).abs().max()) for one, other in pairs),
        "trainable": float(sum(parameter.numel() for parameter in after.parameters() if parameter.requires_grad)),
    }
