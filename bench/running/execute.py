"""Running a plan: train what is not yet trained, evaluate what is not yet evaluated, keep everything."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from filelock import Timeout

from bench.atomic import open_gzip
from bench.data import TestCollection
from bench.data.files import default_cache
from bench.encoders.encoder import Encoder
from bench.errors import BenchError, describe
from bench.evaluation import bias, measures, mining
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.evaluation.run import Run, read_run, write_run
from bench.fingerprint import digest, digest_texts
from bench.interrupt import obey_interrupt
from bench.progress import Display
from bench.request import Request
from bench.results.ir_metadata import write_ir_metadata
from bench.results.provenance import PeakMemory, provenance
from bench.results.store import CHECKPOINT, EMBEDDINGS, FAILURE, LOG, Entry, Store
from bench.running.configuration import keep_configuration
from bench.running.energy import Meter
from bench.running.materials import Materials, cell_inputs
from bench.running.observer import Observer
from bench.running.plan import Cell, Plan, Training
from bench.running.specification import specification
from bench.running.watchdog import watchdog
from bench.training.checkpoint import Checkpoint
from bench.training.method import Task


@dataclass
class Outcome:
    """What a call did: the entries of its cells, and how many were computed, found finished, or failed."""

    cells: list[Entry] = field(default_factory=list)
    trained: int = 0
    computed: int = 0
    reused: int = 0
    failed: int = 0
    bad_input: bool = False
    """Whether something failed because of its input: training data that are missing or malformed."""

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
    cache: Path = field(default_factory=default_cache)

    def run(self, plan: Plan) -> Outcome:
        """Finish every cell that can be finished; one that fails is recorded in its folder, and the others go on.

        Raises `BenchError` only for what would stop them all.
        """
        outcome = Outcome()
        self.configuration = keep_configuration(self.store, self.request, plan)
        _ = self.materials.teacher  # without it there is nothing to do, so let its absence stop everything
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
            inputs = self.materials.training_inputs(training)
        except BenchError as error:
            self.display.warn(f"{self.counter} FAILED {training.label}: {error}")
            outcome.failed += len(cells)
            outcome.bad_input = True
            return
        fingerprint = digest(inputs)
        entry = self.store.training(training.label, fingerprint)
        entries = {cell: self.store.cell(cell.label, digest(cell_inputs(cell, fingerprint))) for cell in cells}
        if patient:
            self.display.say(f"{self.counter} {training.label}: waiting for another process to finish it")
        with self.store.lock(entry).acquire(timeout=-1 if patient else 0):
            self._finish(training, inputs, entry, entries, outcome)

    def _finish(
        self, training: Training, inputs: dict[str, Any], entry: Entry, entries: dict[Cell, Entry], outcome: Outcome
    ) -> None:
        cells = list(entries)
        if self.request.overwrite == "always":
            for old in (*entries.values(), entry):
                old.discard()
        for found in (*entries.values(), entry):
            if found.finished:
                found.tidy()  # what a process left that was killed right after it finished
        missing = [cell for cell in cells if not entries[cell].finished or _lacks_depth(cell, entries[cell])]
        if self.request.overwrite == "never":
            given_up = missing if entry.failed else [cell for cell in missing if entries[cell].failed]
            for cell in given_up:
                self.display.warn(f"{self.counter} FAILED before: {cell.label}; --overwrite failed tries it again")
            outcome.failed += len(given_up)
            cells, missing = ([cell for cell in group if cell not in given_up] for group in (cells, missing))
        retriever: Retriever | None = None
        if missing and not entry.finished:
            try:
                retriever = self._train(training, entry, inputs)
                outcome.trained += training.budget is not None
            except Exception as error:
                self._failed(training.label, entry, error)
                outcome.failed += len(missing)
                cells, missing = [cell for cell in cells if cell not in missing], []
        for cell in cells:
            obey_interrupt()
            try:
                if cell in missing:
                    retriever = retriever or training.row.load(entry.folder / "retriever", self.materials.teacher)
                    self._evaluate(cell, retriever, entries[cell], entry)
                else:
                    _score(cell, entries[cell])
            except Exception as error:
                self._failed(cell.label, entries[cell], error)
                outcome.failed += 1
            else:
                outcome.computed += cell in missing
                outcome.reused += cell not in missing
                outcome.cells.append(entries[cell])

    def _failed(self, label: str, entry: Entry, error: Exception) -> None:
        """One line on the screen; the traceback of the error being handled goes to the entry's folder."""
        where = f" ({entry.folder / FAILURE})" if entry.fail(traceback.format_exc()) else ""
        self.display.warn(f"{self.counter} FAILED {label}: {describe(error)}{where}")

    def _train(self, training: Training, entry: Entry, inputs: dict[str, Any]) -> Retriever:
        folder, label = entry.begin(), f"{self.counter} {training.label}"
        # Data and student are made before the clock starts: all methods share them, and the first must not pay for it.
        task = self.materials.task(training)
        observer = Observer(label, folder / LOG, task.budget, self.request.patience, self.display)
        task.on_step, task.on_resume = observer.on_step, observer.on_resume
        task.checkpoint = Checkpoint(folder / CHECKPOINT)
        memory, meter = PeakMemory(self.materials.device.type), Meter(self.request.energy)
        with observer.watching(), meter:
            _watch(task, meter)
            retriever = training.row.make().fit(task)
            seconds, cpu_seconds = observer.seconds, observer.cpu_seconds
        retriever.save(folder / "retriever", self.materials.teacher)
        spent = asdict(task.outcome["spent"]) if "spent" in task.outcome else {}
        diagnostics = task.outcome.get("diagnostics", {})
        reported = {key: value for key, value in task.outcome.items() if key not in ("spent", "diagnostics")}
        encoder = retriever.query_encoder if isinstance(retriever, DualEncoder) else None
        entry.finish(
            {
                "kind": "training",
                **training.identity,
                "fingerprint": digest(inputs),
                "inputs": inputs,
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
                **reported,
                "teacher": compare_teacher(task.teacher, self.materials.teacher),
                "configuration": self.configuration,
                "provenance": provenance(),
            }
        )
        if spent:
            figures = "".join(f", {name} {value:.3f}" for name, value in diagnostics.items())
            self.display.say(f"{label}: trained {spent['steps']:,} steps in {seconds:.0f} s{figures}")
        return retriever

    def _evaluate(self, cell: Cell, retriever: Retriever, entry: Entry, training: Entry) -> None:
        """Make a cell's run and score it; a finished cell, which lacks only scores that look deeper, keeps its run."""
        folder, test = entry.folder if entry.finished else entry.begin(), cell.test
        total = len(test.queries) + len(test.documents)
        memory, cpu_started = PeakMemory(self.materials.device.type), time.process_time()
        meter = Meter(self.request.energy)
        with (
            self.display.stage(f"{self.counter} {cell.label}: encoding", total, "texts") as stage,
            watchdog(self.request.patience) as alive,
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

            evaluation = evaluate(
                retriever,
                test,
                scoring=cell.scoring,
                oracle=cell.training.row.oracle,
                cache=self.cache / EMBEDDINGS,
                scratch=folder / EMBEDDINGS,
                depth=measures.depth(cell.measures),
                on_texts=on_texts,
            )
        scores = {**_values(evaluation.run, test, cell.measures), **_scores(entry)}
        entry.write_scores(scores)
        if entry.finished:
            entry.tidy()
            return
        if evaluation.rewritten:
            entry.write_rewritten(zip(test.query_ids, test.queries, evaluation.rewritten, strict=True))
        run = {query: ranking[: measures.RUN_DEPTH] for query, ranking in evaluation.run.items()}
        write_run(folder / "run.trec.gz", run, tag=cell.training.row.name)
        trained = training.manifest
        inputs = cell_inputs(cell, trained["fingerprint"])
        manifest = {
            "kind": "cell",
            **cell.identity,
            "fingerprint": digest(inputs),
            "inputs": inputs,
            "asked": specification(cell, self.request, self.materials.cards),
            "training": training.folder.name,
            "trained": {key: value for key, value in trained.items() if key not in {"kind", *cell.identity}},
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
            "run": _run_digest(folder),
            **({"threshold": mining.threshold(evaluation.run, test)} if test.mining else {}),
            **({"languages": bias.language_shares(run, test)} if test.document_languages else {}),
            "sources": self._sources(cell, trained["data_report"]),
            "configuration": self.configuration,
            "provenance": provenance(),
        }
        write_ir_metadata(folder, manifest)
        entry.finish(manifest)

    def _sources(self, cell: Cell, report: Mapping[str, Any]) -> dict[str, str]:
        """Where the collections of a cell are from: a repository at a commit, a folder, or nowhere but a generator."""
        trained = [name.split()[0] for role in ("bitext", "relevance") for name in report.get(role, {})]
        cards = {card.name: card for card in self.materials.cards.values()}
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


def _scores(entry: Entry) -> dict[str, dict[str, float]]:
    """What a cell has been scored by; nothing if that is damaged, so that all of it is computed again."""
    try:
        return entry.read_scores()
    except BenchError:
        return {}


def _run_digest(folder: Path) -> str:
    """The hash of a run's lines, whatever packed them."""
    with open_gzip(folder / "run.trec.gz") as file:
        return digest_texts(file)


def _lacks_depth(cell: Cell, entry: Entry) -> bool:
    """Whether a finished cell lacks scores that its stored run is not deep enough for."""
    return not set(filter(measures.is_deep, cell.measures)) <= _scores(entry).keys()


def _score(cell: Cell, entry: Entry) -> None:
    """Add the measures that a cell lacks; the stored run is deep enough for these."""
    scores = _scores(entry)
    missing = [name for name in cell.measures if name not in scores]
    if missing:
        run = read_run(entry.folder / "run.trec.gz")
        entry.write_scores({**scores, **_values(run, cell.test, missing)})


def _values(run: Run, test: TestCollection, names: Sequence[str]) -> dict[str, dict[str, float]]:
    if test.mining:
        return mining.score(run, test)
    judged = [name for name in names if name not in measures.BIAS]
    found = measures.score(run, test.qrels, judged) if judged else {}
    return {**found, **(bias.score(run, test) if len(judged) < len(names) else {})}


def compare_teacher(after: Encoder, before: Encoder) -> dict[str, float]:
    """What a training did to its copy of the teacher: `drift`, the largest change of a weight, and `trainable`, how
    many of its parameters ask for a gradient. A frozen teacher has 0 and 0.
    """
    pairs = zip(after.parameters(), before.parameters(), strict=True)
    return {
        "drift": max(float((one.detach() - other.detach()).abs().max()) for one, other in pairs),
        "trainable": float(sum(parameter.numel() for parameter in after.parameters() if parameter.requires_grad)),
    }
