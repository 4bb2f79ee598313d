"""Running a plan: train what is not yet trained, evaluate what is not yet evaluated, keep everything."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch

from bench import measures
from bench.budget import Budget
from bench.cards import Card
from bench.data import TestCollection, TrainingData
from bench.encoders import Encoder
from bench.errors import BenchError
from bench.evaluation import EmbeddingCache, evaluate
from bench.files import Resolver, default_cache
from bench.fingerprint import code_digest, digest, digest_texts, library_versions
from bench.loading import training_data
from bench.method import Task
from bench.models import load_teacher
from bench.plan import Cell, Plan, Training
from bench.progress import Display
from bench.provenance import PeakMemory, provenance
from bench.request import RUN_DEPTH
from bench.retrieval import read_run, write_run
from bench.retriever import Retriever
from bench.store import Entry, Store
from bench.training import fast_precision
from bench.vocabulary import make_student

TRAINING_LIBRARIES = ("torch", "transformers", "tokenizers", "POT", "numpy", "scikit-learn")
CELL_LIBRARIES = ("torch", "transformers", "tokenizers", "faiss-cpu", "ir-measures", "pytrec-eval-terrier", "numpy")


@dataclass
class Outcome:
    """What a call did: the entries of its cells, and how many were computed, found finished, or failed."""

    cells: list[Entry] = field(default_factory=list)
    trained: int = 0
    computed: int = 0
    reused: int = 0
    failed: int = 0


@dataclass
class Executor:
    """Runs the trainings and cells of a plan one after another, in one results folder."""

    plan: Plan
    measures: tuple[str, ...]
    device_name: str
    precision_name: str
    cards: Mapping[str, Card]
    resolver: Resolver
    store: Store
    display: Display

    def run(self) -> Outcome:
        """Finish every cell that can be finished; one that fails is recorded in its folder, and the others go on.

        Raises `BenchError` only for what would stop them all.
        """
        outcome = Outcome()
        self.teacher_fingerprint = self.teacher.fingerprint()
        for number, (training, cells) in enumerate(self.plan.cells.items(), start=1):
            self.counter = f"[{number}/{len(self.plan.cells)}]"
            done = len(outcome.cells)
            try:
                self._run_training(training, cells, outcome)
            except Exception as error:
                outcome.failed += len(cells) - (len(outcome.cells) - done)
                kind = "" if isinstance(error, BenchError) else f"{type(error).__name__}: "
                reason = str(error).split("\n")[0]
                self.display.say(f"{self.counter} FAILED {training.label}: {kind}{reason}")
        return outcome

    @cached_property
    def device(self) -> torch.device:
        if self.device_name == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device_name == "cuda" and not torch.cuda.is_available():
            raise BenchError("--device cuda: torch sees no GPU here; use --device cpu")
        return torch.device(self.device_name)

    @cached_property
    def precision(self) -> str:
        return fast_precision(self.device) if self.precision_name == "auto" else self.precision_name

    @cached_property
    def teacher(self) -> Encoder:
        with self.display.stage("training the tiny English teacher, once", 1, "of it") as stage:
            return load_teacher(
                self.plan.encoder,
                self.device,
                offline=self.resolver.offline,
                on_step=lambda record: stage.update(record["share"], f"loss {record['loss']:.3f}"),
            )

    def _run_training(self, training: Training, cells: list[Cell], outcome: Outcome) -> None:
        inputs = self._training_inputs(training)
        entry = self.store.training(training.label, digest(inputs))
        entries = [self.store.cell(cell.label, digest(self._cell_inputs(cell, inputs))) for cell in cells]
        retriever: Retriever | None = None
        if not entry.finished and not all(cell_entry.finished for cell_entry in entries):
            with recorded_failure(entry):
                retriever = self._train(training, entry, inputs)
            outcome.trained += training.budget is not None
        for cell, cell_entry in zip(cells, entries, strict=True):
            if cell_entry.finished:
                outcome.reused += 1
            else:
                retriever = retriever or Retriever.load(entry.folder / "retriever", self.teacher)
                with recorded_failure(cell_entry):
                    self._evaluate(cell, retriever, cell_entry, inputs)
                outcome.computed += 1
            self._score(cell, cell_entry)
            outcome.cells.append(cell_entry)

    def _train(self, training: Training, entry: Entry, inputs: dict[str, Any]) -> Retriever:
        folder = entry.begin()
        data = self._data(training) if training.train else TrainingData.none(training.pair)
        # Made before the clock starts: it is shared by all methods, and the first must not pay for the others.
        student = self._student(training) if training.train else self.teacher
        with (
            (folder / "log.jsonl").open("w", encoding="utf-8") as log,
            self.display.stage(f"{self.counter} {training.label}: training", 1, "of the budget") as stage,
        ):

            def on_step(record: dict[str, Any]) -> None:
                log.write(json.dumps(record) + "\n")
                stage.update(record["share"], f"step {record['step']:,}, loss {record['loss']:.4f}")

            task = Task(
                data=data,
                teacher=self.teacher,
                make_student=student.copy,
                budget=training.budget or Budget(1, "steps"),
                recipe=training.recipe,
                seed=training.seed or 0,
                precision=self.precision,
                on_step=on_step,
            )
            memory, started = PeakMemory(self.device.type), time.perf_counter()
            retriever = training.method(training.config).fit(task)
            seconds = time.perf_counter() - started
        retriever.save(folder / "retriever", self.teacher)
        spent = asdict(task.outcome["spent"]) if "spent" in task.outcome else {}
        cost = {
            "seconds": round(seconds, 2),
            **{f"trained_{name}": value for name, value in spent.items()},
            "peak_memory_mib": memory.mebibytes(),
            "parameters": sum(parameter.numel() for parameter in retriever.query_encoder.parameters()),
        }
        entry.finish(
            {
                "kind": "training",
                **training.identity,
                "fingerprint": digest(inputs),
                "inputs": inputs,
                "data_report": data.report,
                "vocabulary": len(retriever.query_encoder.tokenizer),
                "cost": cost,
                "diagnostics": task.outcome.get("diagnostics", {}),
                "provenance": provenance(),
            }
        )
        if spent:
            figures = "".join(f", {name} {value:.3f}" for name, value in task.outcome["diagnostics"].items())
            self.display.say(
                f"{self.counter} {training.label}: trained {spent['steps']:,} steps in {seconds:.0f} s{figures}"
            )
        return retriever

    def _evaluate(self, cell: Cell, retriever: Retriever, entry: Entry, training_inputs: dict[str, Any]) -> None:
        folder, test = entry.begin(), cell.test
        total = len(test.queries) + len(test.documents)
        with self.display.stage(f"{self.counter} {cell.label}: encoding", total, "texts") as stage:
            done = 0

            def on_texts(count: int) -> None:
                nonlocal done
                done += count
                stage.update(done)

            evaluation = evaluate(
                retriever,
                test,
                oracle=cell.training.method.oracle,
                cache=EmbeddingCache(default_cache() / "embeddings"),
                on_texts=on_texts,
            )
        write_run(folder / "run.trec.gz", evaluation.run, tag=cell.training.entry.name)
        inputs = self._cell_inputs(cell, training_inputs)
        entry.finish(
            {
                "kind": "cell",
                **cell.training.identity,
                "dataset": test.name,
                "scoring": cell.scoring,
                "fingerprint": digest(inputs),
                "inputs": inputs,
                "training": self.store.training(cell.training.label, inputs["training"]).folder.name,
                "queries": len(test.queries),
                "documents": len(test.documents),
                "cost": {f"{stage}_seconds": round(seconds, 3) for stage, seconds in evaluation.seconds.items()},
                "documents_cached": evaluation.documents_cached,
                "provenance": provenance(),
            }
        )

    def _score(self, cell: Cell, entry: Entry) -> None:
        """Add the measures that the stored run has not been scored by yet."""
        scores = entry.read_scores()
        missing = [name for name in self.measures if name not in scores]
        if missing:
            run = read_run(entry.folder / "run.trec.gz")
            entry.write_scores({**scores, **measures.score(run, cell.test.qrels, missing)})

    def _training_inputs(self, training: Training) -> dict[str, Any]:
        """Everything that can change the retriever; its digest is the training's fingerprint."""
        inputs: dict[str, Any] = {
            "method": training.entry.name,
            "config": training.config.model_dump(),
            "code": code_digest(training.entry.module),
            "teacher": self.teacher_fingerprint,
            "libraries": library_versions(*TRAINING_LIBRARIES),
            "device": self.device.type,
        }
        if training.train:
            inputs["data"] = digest_data(self._data(training))
            inputs["vocabulary"] = code_digest("bench.vocabulary")
            inputs["recipe"] = training.recipe.model_dump()
        if training.budget is not None:
            inputs["budget"] = str(training.budget)
            inputs["precision"] = self.precision
        if training.seed is not None:
            inputs["seed"] = training.seed
        return inputs

    def _cell_inputs(self, cell: Cell, training_inputs: dict[str, Any]) -> dict[str, Any]:
        """Everything that can change the run; its digest is the cell's fingerprint."""
        return {
            "training": digest(training_inputs),
            "test": digest_test(cell.test),
            "scoring": cell.scoring,
            "depth": RUN_DEPTH,
            "code": {module: code_digest(module) for module in ("bench.evaluation", "bench.measures")},
            "libraries": library_versions(*CELL_LIBRARIES),
        }

    def _data(self, training: Training) -> TrainingData:
        """The training data of a pair, loaded once; one pair's at a time, because plans run pair by pair."""
        key = (training.train, training.pair)
        if getattr(self, "_loaded_key", None) != key:
            self._loaded = training_data(training.train, training.pair, self.resolver, self.cards)
            self._loaded_key = key
        return self._loaded

    def _student(self, training: Training) -> Encoder:
        """The student of this pair, recipe and seed, made once for all methods, each of which trains a copy."""
        key = (training.train, training.pair, training.recipe, training.seed)
        if getattr(self, "_student_key", None) != key:
            self._made = make_student(
                self.teacher, training_texts(self._data(training)), training.recipe, training.seed or 0
            )
            self._student_key = key
        return self._made


@contextmanager
def recorded_failure(entry: Entry) -> Iterator[None]:
    """Keep the traceback of an error in the entry's folder and pass the error on."""
    try:
        yield
    except Exception:
        entry.fail(traceback.format_exc())
        raise


def training_texts(data: TrainingData) -> list[str]:
    """All texts that a student's vocabulary is learned on."""
    return [
        *data.bitext.query_side,
        *data.bitext.document_side,
        *data.relevance.queries,
        *data.relevance.positives,
    ]


def digest_data(data: TrainingData) -> str:
    """The hash of the texts that are trained on, after leakage is removed."""
    return digest_texts(
        data.bitext.query_side, data.bitext.document_side, data.relevance.queries, data.relevance.positives
    )


def digest_test(test: TestCollection) -> str:
    """The hash of everything in a test collection."""
    texts = digest_texts(test.query_ids, test.queries, test.document_ids, test.documents, test.oracle_queries or ())
    return digest([texts, {query: dict(judged) for query, judged in test.qrels.items()}])
