"""The work of one training and its cells: fit, save, encode, search, score, and keep all of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from numbers import Real
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.atomic import open_gzip
from bench.data import TestCollection
from bench.encoders.encoder import Encoder
from bench.errors import BenchError, CellFailed, describe
from bench.evaluation import bias, measures, mining
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.evaluation.run import write_run
from bench.evaluation.scoring import score
from bench.fingerprint import digest_texts
from bench.interrupt import obey_interrupt
from bench.results.ir_metadata import write_ir_metadata
from bench.results.provenance import PeakMemory, provenance
from bench.results.store import CHECKPOINT, EMBEDDINGS, LOG, RETRIEVER, RUN, Entry, Record
from bench.running.energy import Meter
from bench.running.job import Done, Job, Workplace, load_test, record_failure
from bench.running.observer import Observer
from bench.running.places import places
from bench.running.plan import Cell
from bench.running.rows import load_retriever, make_method
from bench.running.watchdog import GivenUp, watchdog
from bench.sealed import FILES, Damaged
from bench.training.checkpoint import Checkpoint
from bench.training.method import Task


def do(place: Workplace, job: Job, missing: Sequence[Cell]) -> Done:
    """Train if need be and evaluate the missing cells.

    Whatever a method raises is recorded as its failure; only Ctrl-C ends the call.
    """
    spec, entry = job.training.spec, job.entry
    failures: list[str] = []
    retriever: Retriever | None = None
    training = _finished_training(place, job)
    trained = bad_input = False
    if training is None:
        try:
            task = place.materials.task(spec)
        except BenchError as error:
            return Done(bad_input=True, failures=(record_failure(job, job.training.label, entry, error),))
        try:
            retriever, training = train(place, job, task)
            trained = spec.budget is not None
        except Exception as error:
            return Done(failures=(record_failure(job, job.training.label, entry, error),))
    for cell in missing:
        obey_interrupt()
        try:
            test = load_test(job, cell)
        except BenchError as error:
            failures.append(record_failure(job, cell.label, job.cells[cell], error))
            bad_input = True
            continue
        try:
            if retriever is None:
                with guarded(own=job.training.row.own):
                    retriever = load_retriever(spec.methods, entry.folder / RETRIEVER, place.materials.teacher)
            evaluate_cell(place, job, cell, test, retriever, training)
        except Exception as error:
            failures.append(record_failure(job, cell.label, job.cells[cell], error))
    return Done(trained, bad_input, tuple(failures))


@contextmanager
def guarded(*, own: bool) -> Iterator[None]:
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
        if own and isinstance(error, KeyboardInterrupt):
            raise
        raise CellFailed(f"it ended with {describe(error)}") from error
    finally:
        if os.getpid() != process:
            os._exit(1)


def _finished_training(place: Workplace, job: Job) -> Record | None:
    """Return the training if it is finished and whole; None if it is to be done, with a line if it is damaged."""
    try:
        if record := job.entry.read():
            record.verify()
        return record
    except Damaged as error:
        place.display.warn(f"{job.counter} {error}; it is trained again")
        job.entry.discard()
        return None


def train(place: Workplace, job: Job, task: Task) -> tuple[Retriever, Record]:
    """Fit a method, and keep its retriever and all that is to be known of the training.

    Data and student are made before: all methods share them, and the first must not pay for them.
    """
    spec, entry, materials = job.training.spec, job.entry, place.materials
    folder, label = entry.begin(), f"{job.counter} {job.training.label}"
    observer = Observer(label, folder / LOG, task.budget, place.request.patience, place.display)
    task.on_step, task.on_resume = observer.on_step, observer.on_resume
    task.checkpoint = Checkpoint(
        folder / CHECKPOINT, log=folder / LOG, on_damage=lambda text: place.display.warn(f"{label}: {text}")
    )
    memory, meter = PeakMemory(materials.device_type), Meter(place.request.energy)
    with observer.watching(), meter:
        _watch(task, meter)
        with guarded(own=job.training.row.own):
            retriever = make_method(spec.methods).fit(task)
        seconds, cpu_seconds = observer.seconds, observer.cpu_seconds
    if not (folder / LOG).is_file():
        raise CellFailed("it deleted the log of its training")
    with guarded(own=job.training.row.own):
        retriever.save(folder / RETRIEVER, materials.teacher)
    outcome = dict(task.outcome)
    spent = asdict(outcome.pop("spent")) if "spent" in outcome else {}
    diagnostics = checked_diagnostics(outcome.pop("diagnostics", {}))
    encoder = retriever.query_encoder if isinstance(retriever, DualEncoder) else None
    record = entry.finish(
        {
            "kind": "training",
            "spec": spec.dump(),
            "fingerprint": entry.fingerprint,
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
            "teacher": compare_teacher(task.teacher, materials.teacher),
            "configuration": place.configuration,
            "provenance": provenance(),
        }
    )
    if spent:
        figures = "".join(f", {name} {value:.3f}" for name, value in diagnostics.items())
        place.display.say(f"{label}: trained {spent['steps']:,} steps in {seconds:.0f} s{figures}")
    return retriever, record


def checked_diagnostics(diagnostics: Any) -> dict[str, float]:
    """Return the diagnostics of a method. Raises `CellFailed` if they are not numbers by name."""
    if not isinstance(diagnostics, Mapping):
        raise CellFailed(f"its diagnostics are no mapping but a {type(diagnostics).__name__}")
    for name, value in diagnostics.items():
        if not isinstance(name, str) or not isinstance(value, Real):
            raise CellFailed(f"its diagnostic {name!r} is no number but a {type(value).__name__}")
    return {name: value if isinstance(value, int) else float(value) for name, value in diagnostics.items()}


def evaluate_cell(
    place: Workplace, job: Job, cell: Cell, test: TestCollection, retriever: Retriever, training: Record
) -> None:
    """Make a cell's run and score it; a finished cell, which lacks only scores that look deeper, keeps its run."""
    entry = job.cells[cell]
    found = _whole(entry)
    folder = entry.folder if found else entry.begin()
    total = len(test.queries) + len(test.documents)
    memory, cpu_started = PeakMemory(place.materials.device_type), time.process_time()
    meter = Meter(place.request.energy)
    with (
        place.display.stage(f"{job.counter} {cell.label}: encoding", total, "texts") as stage,
        watchdog(place.request.patience) as alive,
        meter,
    ):
        done = 0

        def on_texts(count: int) -> None:
            nonlocal done
            alive()
            obey_interrupt()
            meter.tick()
            done += count
            stage.update(done)

        with guarded(own=job.training.row.own):
            evaluation = evaluate(
                retriever,
                test,
                scoring=cell.spec.scoring,
                oracle=job.training.row.oracle,
                cache=place.cache / EMBEDDINGS,
                scratch=folder / EMBEDDINGS,
                depth=measures.depth(cell.measures),
                on_texts=on_texts,
            )
    if found:
        lacking = [name for name in cell.measures if name not in found.scores]
        entry.add_scores(found, score(evaluation.run, test, lacking))
        return
    scores = score(evaluation.run, test, cell.measures)
    entry.write_scores(scores)
    if evaluation.rewritten:
        entry.write_rewritten(zip(test.query_ids, test.queries, evaluation.rewritten, strict=True))
    run = {query: ranking[: measures.RUN_DEPTH] for query, ranking in evaluation.run.items()}
    write_run(folder / RUN, run, tag=cell.spec.method)
    manifest = {
        "kind": "cell",
        "spec": cell.spec.dump(),
        "fingerprint": entry.fingerprint,
        "inputs": dict(job.cell_inputs[cell]),
        "places": places(cell, place.request, place.materials.cards),
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
        "run": _run_digest(folder / RUN),
        **({"threshold": mining.threshold(evaluation.run, test)} if test.mining else {}),
        **({"languages": bias.language_shares(run, test)} if test.document_languages else {}),
        "sources": _sources(place, cell, training.manifest["data_report"]),
        "configuration": place.configuration,
        "provenance": provenance(),
    }
    write_ir_metadata(folder, manifest)
    entry.finish(manifest)


def _whole(entry: Entry) -> Record | None:
    try:
        return entry.read()
    except Damaged:
        return None


def _sources(place: Workplace, cell: Cell, report: Mapping[str, Any]) -> dict[str, str]:
    """Return where the collections of a cell are from: a repository at a commit, a folder, or a generator."""
    trained = [name.split()[0] for role in ("bitext", "relevance") for name in report.get(role, {})]
    cards = {card.name: card for card in place.materials.cards.values()}
    return {
        name: cards[name].source or cards[name].folder or "generated"
        for name in dict.fromkeys([cell.test.name, *trained])
    }


def _watch(task: Task, meter: Meter) -> None:
    """Have the meter read now and then; of a training that is resumed it knows only the rest."""
    on_step, on_resume = task.on_step, task.on_resume

    def step(record: dict[str, Any]) -> None:
        on_step(record)
        meter.tick()

    def resume(steps: int) -> None:
        on_resume(steps)
        if steps:
            meter.spoil("the training was resumed")

    task.on_step, task.on_resume = step, resume


def _run_digest(path: Path) -> str:
    """Return the hash of a run's lines, whatever packed them."""
    with open_gzip(path) as file:
        return digest_texts(file)


def compare_teacher(after: Encoder, before: Encoder) -> dict[str, float]:
    """Return what a training did to its copy of the teacher: `drift`, the largest change of a weight, and `trainable`,
    the number of its parameters that ask for a gradient. A frozen teacher has 0 and 0.
    """
    pairs = zip(after.parameters(), before.parameters(), strict=True)
    return {
        "drift": max(float((one.detach() - other.detach()).abs().max()) for one, other in pairs),
        "trainable": float(sum(parameter.numel() for parameter in after.parameters() if parameter.requires_grad)),
    }
