"""The recorded trainings of `bench validate` on a small part of the generated collection."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from bench.data import READS_TEST, Pair, conlang
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.encoders.encoder import Encoder
from bench.encoders.models import default_recipe
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import Retriever
from bench.evaluation.run import Run
from bench.options import read_config
from bench.progress import Display
from bench.recipe import Budget, Recipe, Spent
from bench.request import Validation
from bench.running.method_specs import ResolvedMethod, load_retriever, make_method, resolve_method
from bench.running.resources import Resources
from bench.spec import Configured, RunSpec
from bench.storage.hashing import digest_bytes
from bench.storage.sealed import sha256_of
from bench.system.processes import Worker
from bench.training.checkpoint import Checkpoint
from bench.training.tiny import one_thread

ENCODER = "tiny"
PAIR = Pair("qaa", "eng")
SIZES: dict[str, Any] = {"scale": 0.1, "test_queries": 40, "dev_queries": 40}
CARD = Card(
    name="conlang",
    description="a tenth of the generated collection",
    licence="that of this project",
    data=[
        {"role": role, "format": "conlang", "pairs": [pair], "options": SIZES}
        for role, pair in (("test", "qaa-eng"), ("bitext", "qaa-eng"), ("relevance", "eng-eng"))
    ],
)


class Died(BaseException):
    """A simulated power cut. `except Exception` does not catch it."""


@dataclass
class RecordedRun:
    """The record of one training, observed outside the method."""

    teacher: Encoder
    mirror: Path
    """The folder of test collections; a method must open no file there."""
    die_at: int | None
    retriever: Retriever = field(init=False)
    files: dict[str, str] = field(default_factory=dict)
    """The sha256 of each file of the saved retriever."""
    spent: Spent | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    """The norm of the student's gradient at each of its optimiser steps."""
    other_steps: int = 0
    """Number of steps of optimisers without a parameter of the student."""
    changes: int = 0
    """Number of changes of the student between its steps."""
    tokens: int = 0
    """Number of tokens that the student read until its last step."""
    test_data: list[str] = field(default_factory=list)
    """Test collections and files of the mirror that were read."""
    _students: list[Encoder] = field(default_factory=list)
    _weights: str = ""
    _tokens: int = 0

    def watched(self, student: Encoder) -> Encoder:
        """Record steps and tokens of a student from here on, without its copies, and return it."""
        transformer = student.transformer

        def count(module: Any, arguments: Any, named: Mapping[str, Any]) -> None:
            if module is transformer:  # a copy has the same hook
                self._tokens += int(named["attention_mask"].sum())

        transformer.register_forward_pre_hook(count, with_kwargs=True)
        self._students.append(student)
        return student

    def on_step(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self.tokens, self._weights = self._tokens, self._digest()
        if record["step"] == self.die_at:
            raise Died

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record every optimiser step and every opened file within the block."""
        global _recording
        _install_audit_hook()
        with register_optimizer_step_pre_hook(self._before_step):
            _recording = self
            try:
                yield
            finally:
                _recording = None

    def _before_step(self, optimiser: Optimizer, *_: Any) -> None:
        stepped = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        student = [parameter for parameter in self._parameters() if id(parameter) in stepped]
        if not student:
            self.other_steps += 1
            return
        self.changes += self._weights not in ("", self._digest())
        gradients = [parameter.grad.double().norm() for parameter in student if parameter.grad is not None]
        self.norms.append(float(torch.stack(gradients).norm()) if gradients else 0.0)

    def _digest(self) -> str:
        return digest_bytes(b"".join(parameter.detach().cpu().numpy().tobytes() for parameter in self._parameters()))

    def _parameters(self) -> Iterator[Tensor]:
        return (parameter for student in self._students for parameter in student.parameters())

    def on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == READS_TEST:
            self.test_data.append(arguments[0])
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if Path(path).is_relative_to(self.mirror):
                self.test_data.append(path)


_recording: RecordedRun | None = None


@cache  # only once, since an audit hook cannot be removed
def _install_audit_hook() -> None:
    sys.addaudithook(lambda event, arguments: _recording.on_audit(event, arguments) if _recording else None)


@dataclass
class Fixture:
    """A method, or a combination, under validation."""

    text: str
    options: Validation
    folder: Path
    """The folder of temporary files."""
    display: Display = field(default_factory=lambda: Display(quiet=True))
    worker: Worker = field(default_factory=Worker)

    @property
    def mirror(self) -> Path:
        """The folder of test collections, the value of `BENCH_MIRROR`."""
        return self.folder / "mirror"

    @cached_property
    def method(self) -> ResolvedMethod:
        return resolve_method(self.text, self.options.method)

    @cached_property
    def resources(self) -> Resources:
        resolver = Resolver(offline=True, derived=self.folder / "cache")
        return Resources(ENCODER, "cpu", "float32", {CARD.name: CARD}, resolver, self.display, threads=1)

    @cached_property
    def first(self) -> RecordedRun:
        """The training that others are compared with. Its retriever is in the folder `first`."""
        return self.fit("first")

    @cached_property
    def elsewhere(self) -> tuple[dict[str, str], dict[str, Run]]:
        """The files of a training in another process, and the runs of the first retriever loaded there."""
        return self.worker.run(elsewhere, self.text, self.options, self.folder)

    def fit(
        self,
        name: str = "retriever",
        budget: Budget | None = None,
        seed: int = 0,
        checkpoint: Checkpoint | None = None,
        die_at: int | None = None,
    ) -> RecordedRun:
        """Train once with a record, and save the retriever to a folder with this name."""
        recipe = read_config(Recipe, {**default_recipe(ENCODER).model_dump(), **self.options.recipe}, "recipe")
        spec = RunSpec(
            methods=self.method.methods,
            pairs=(PAIR,),
            train=(CARD.name,) if "data" in self.method.depends_on else (),
            encoder=ENCODER,
            recipe=Configured(tuple(sorted(recipe.model_dump().items()))),
            budget=budget or Budget(self.options.steps, "steps"),
            seed=seed,
        )
        task = self.resources.task(spec)
        trial = RecordedRun(task.teacher, self.mirror, die_at)
        make_student = task.make_student
        task.make_student = lambda **how: trial.watched(make_student(**how))
        task.on_step, task.checkpoint = trial.on_step, checkpoint
        with trial.watching():
            trial.retriever = make_method(self.method.methods).fit(task)
        trial.spent = task.outcome.get("spent")
        shutil.rmtree(self.folder / name, ignore_errors=True)
        trial.retriever.save(self.folder / name, self.resources.teacher)
        paths = [path for path in (self.folder / name).rglob("*") if path.is_file()]
        trial.files = {path.relative_to(self.folder / name).as_posix(): sha256_of(path) for path in paths}
        return trial

    def difference(self, files: Mapping[str, str]) -> str:
        """Return the names of files that differ from those of the first retriever."""
        return ", ".join(sorted({name for name, _ in self.first.files.items() ^ files.items()}))

    def runs(self, retriever: Retriever) -> dict[str, Run]:
        """Return the run of a retriever for the development queries, by scoring."""
        test = conlang.test(PAIR.query, conlang.ConlangOptions(**SIZES, split="dev"))
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            evaluated = partial(evaluate, retriever, test, cache=Path(name) / "cache", scratch=Path(name) / "scratch")
            scorings, oracle = self.method.scorings, self.method.oracle
            return {scoring: evaluated(scoring=scoring, oracle=oracle).run for scoring in scorings}


def elsewhere(text: str, options: Validation, folder: Path) -> tuple[dict[str, str], dict[str, Run]]:
    """Return the value of `Fixture.elsewhere`, computed in this process."""
    subject = Fixture(text, options, folder)
    with one_thread():
        retriever = load_retriever(subject.method.methods, folder / "first", subject.resources.teacher)
        return subject.fit().files, subject.runs(retriever)


def write_test(mirror: Path, seed: int = 0) -> None:
    """Write a test collection in the layout of BEIR to a mirror."""
    test = conlang.test(PAIR.query, conlang.ConlangOptions(**SIZES, seed=seed))
    folder = mirror / "validation"
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, ids, texts in (("queries", test.query_ids, test.queries), ("corpus", test.document_ids, test.documents)):
        lines = (json.dumps({"_id": key, "text": text}) for key, text in zip(ids, texts, strict=True))
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    judged = (f"{query}\t{document}\t1" for query, row in test.qrels.items() for document in row)
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]), encoding="utf-8")
