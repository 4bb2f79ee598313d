"""`bench validate`: what every method must keep to, tried with the tiny encoder on the generated collection."""

from __future__ import annotations

import inspect
import json
import math
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from bench import conlang
from bench.authoring.trial import Died, Trial
from bench.data import Pair, TestCollection
from bench.data.cards import Card
from bench.data.files import Resolver, default_cache, sha256_of
from bench.data.levels import Level
from bench.encoders.models import default_recipe
from bench.encoders.tiny import one_thread
from bench.errors import describe
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import Retriever
from bench.evaluation.run import Run
from bench.inspection.pages import meaning
from bench.options import read_config
from bench.progress import Display
from bench.request import Validation
from bench.running.execute import compare_teacher
from bench.running.materials import Materials
from bench.running.plan import Training
from bench.running.rows import Row, make_row
from bench.training.budget import Budget
from bench.training.checkpoint import Checkpoint
from bench.training.recipe import Recipe

ENCODER = "tiny"
PAIR = Pair("qaa", "eng")
SIZES: dict[str, Any] = {"scale": 0.1, "test_queries": 40, "dev_queries": 40}
OPTIONS = conlang.ConlangOptions(**SIZES)
CARD = Card.model_validate(
    {
        "name": "conlang",
        "description": "a tenth of the generated collection",
        "licence": "that of this project",
        "data": [
            {"role": "test", "format": "conlang", "pairs": [str(PAIR)], "options": SIZES},
            {"role": "bitext", "format": "conlang", "pairs": [str(PAIR)], "options": SIZES},
            {"role": "relevance", "format": "conlang", "pairs": ["eng-eng"], "options": SIZES},
        ],
    }
)
SLACK = 0.5
"""Seconds that a method's clock may differ from ours."""
PASS, FAIL, NEITHER = "PASS", "FAIL", "-"


class Fault(Exception):
    """What a method must not do."""


class DoesNotApply(Exception):
    """Why a check says nothing about a method."""


class Finding(NamedTuple):
    """What came of one check."""

    check: str
    verdict: str
    text: str


@dataclass
class Subject:
    """A method that is validated, or a combination, and what it is trained from."""

    text: str
    asked: Validation
    folder: Path
    """For whatever is written meanwhile."""
    display: Display = field(default_factory=lambda: Display(quiet=True))
    other: Executor | None = None
    """A process besides this one; none in that itself."""

    @cached_property
    def row(self) -> Row:
        return make_row(self.text, self.asked.method)

    @cached_property
    def materials(self) -> Materials:
        return Materials(ENCODER, "cpu", "float32", {CARD.name: CARD}, Resolver(offline=True), self.display)

    @cached_property
    def recipe(self) -> Recipe:
        return read_config(Recipe, {**default_recipe(ENCODER).model_dump(), **self.asked.recipe}, "recipe")

    @property
    def mirror(self) -> Path:
        """Where a method that looks for test collections finds one."""
        return self.folder / "mirror"

    @cached_property
    def first(self) -> Trial:
        """The training that all others are compared with."""
        write_test(conlang.test(PAIR.query, OPTIONS), self.mirror)
        return self.fit()

    @cached_property
    def saved(self) -> Path:
        """The folder of the first training's retriever."""
        self.first.retriever.save(self.folder / "first", self.materials.teacher)
        return self.folder / "first"

    @cached_property
    def repeated(self) -> str:
        """How a second training differs from the first, though nothing but the time is another."""
        return self.difference(self.files(self.fit()))

    def depends_on(self, what: str) -> bool:
        return what in self.row.depends_on

    def fit(
        self,
        budget: Budget | None = None,
        seed: int = 0,
        checkpoint: Checkpoint | None = None,
        die_at: int | None = None,
    ) -> Trial:
        """Train once, watched."""
        training = Training(
            row=self.row,
            pairs=(PAIR,),
            train=(CARD.name,) if self.depends_on("data") else (),
            keep_leaks=False,
            level=Level(),
            encoder=ENCODER,
            recipe=self.recipe,
            budget=budget or Budget(self.asked.steps, "steps"),
            seed=seed,
        )
        task = self.materials.task(training)
        trial = Trial(task.teacher, [self.mirror.resolve(), *collections()], die_at)
        make_student = task.make_student
        task.make_student = lambda: trial.watched(make_student())
        task.on_step, task.on_resume, task.checkpoint = trial.on_step, trial.on_resume, checkpoint
        with environment("BENCH_MIRROR", str(self.mirror)), trial.watching():
            trial.retriever = self.row.make().fit(task)
        trial.spent = task.outcome.get("spent")
        return trial

    def files(self, trial: Trial) -> dict[str, str]:
        """The sha256 of each file that a training's retriever is saved in."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            trial.retriever.save(Path(place) / "retriever", self.materials.teacher)
            return digests(Path(place) / "retriever")

    def difference(self, files: Mapping[str, str]) -> str:
        """Which of a retriever's files are not those of the first training; empty if all are."""
        first = digests(self.saved)
        return ", ".join(sorted(name for name in {*first, *files} if first.get(name) != files.get(name)))

    def runs(self, retriever: Retriever) -> dict[str, Run]:
        """What it finds for questions of the development part, by each scoring."""
        test = conlang.dev(PAIR.query, OPTIONS)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            return {
                scoring: evaluate(
                    retriever,
                    test,
                    scoring=scoring,
                    oracle=self.row.oracle,
                    cache=Path(place) / "cache",
                    scratch=Path(place) / "scratch",
                ).run
                for scoring in self.row.scorings
            }

    def elsewhere(self, work: Callable[[Subject], Any]) -> Any:
        """What a function of the subject returns in the other process."""
        assert self.other is not None
        return self.other.submit(_work, work, self.text, self.asked, self.folder).result()


def validate(text: str, asked: Validation, display: Display) -> list[Finding]:
    """The findings about a method, or a combination, as it is asked for on the command line.

    Raises `BenchError` if there is no such method, or not with these settings.
    """
    with tempfile.TemporaryDirectory(prefix="bench-validate-") as folder, one_thread(), other_process() as other:
        subject = Subject(text, asked, Path(folder), display, other)
        findings: list[Finding] = []
        with display.stage(f"validating {subject.row.name}", len(CHECKS), "checks") as stage:
            for check in CHECKS:
                findings.append(_finding(check, subject))
                stage.update(len(findings), check.__name__)
                if check is trains and findings[-1].verdict == FAIL:
                    break
    return findings


def _finding(check: Callable[[Subject], str], subject: Subject) -> Finding:
    name = check.__name__.replace("_", " ")
    try:
        return Finding(name, PASS, check(subject))
    except DoesNotApply as reason:
        return Finding(name, NEITHER, str(reason))
    except Fault as fault:
        return Finding(name, FAIL, str(fault))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(name, FAIL, f"{describe(error)} ({Path(last.filename).name}, line {last.lineno})")


def described(subject: Subject) -> str:
    """It says what it is, where it is from and what it trains on."""
    for part in subject.row.parts:
        method, name = part.method, part.entry.name
        if not (method.__doc__ or "").strip():
            raise Fault(f"{name} has no docstring, whose first line bench ls methods shows")
        if not method.source:
            raise Fault(f"{name} has no source, which says where it comes from")
        uses = part.make().uses
        may_be_silent = part.entry.reference or "data" not in method.depends_on
        if not may_be_silent and not (uses and isinstance(uses, tuple)):
            raise Fault(f"{name} does not say what it uses, as in uses = ('bitext',)")
    return "; ".join(inspect.cleandoc(part.method.__doc__ or "").split("\n")[0] for part in subject.row.parts)


def configured(subject: Subject) -> str:
    """Every setting has a docstring, and no other is accepted."""
    settings = 0
    for part in subject.row.parts:
        config, name = part.method.Config, part.entry.name
        if silent := [key for key in config.model_fields if not meaning(config, key)]:
            raise Fault(f"{name} has settings without a docstring below them: {', '.join(silent)}")
        settings += len(config.model_fields)
        try:
            config.model_validate({"no_such_setting": 1})
        except ValidationError:
            continue
        raise Fault(f"{name} accepts a setting that it does not have")
    return f"{settings} settings, each with a docstring; an unknown one is refused"


def trains(subject: Subject) -> str:
    """It makes a retriever."""
    trial = subject.first
    return f"{len(trial.records)} steps in {trial.seconds:.1f} s, a {type(trial.retriever).__name__}"


def deterministic(subject: Subject) -> str:
    """The same seed ends in the same bytes, here and in another process."""
    if subject.repeated:
        raise Fault(f"a second training with the same seed differs in {subject.repeated}")
    if different := subject.difference(subject.elsewhere(_fitted)):
        raise Fault(f"a training in another process differs in {different}; does it rely on the order of a set?")
    if not subject.depends_on("seed") and (different := subject.difference(subject.files(subject.fit(seed=1)))):
        raise Fault(f"it says that no seed changes it, but another one does: {different}")
    return "the same files twice, and in another process"


def within_budget(subject: Subject) -> str:
    """It takes the steps that it is given, no others, and counts them right; likewise tokens and seconds."""
    first, steps = subject.first, subject.asked.steps
    if not subject.depends_on("budget"):
        if taken := first.student_steps + first.other_steps:
            raise Fault(f"it says that it depends on no budget, but takes {taken} optimiser steps")
        if different := subject.difference(subject.files(subject.fit(Budget(10 * steps, "steps")))):
            raise Fault(f"it says that it depends on no budget, but a larger one changes {different}")
        return "it spends none, and none changes it"
    spent = first.spent
    if spent is None:
        raise Fault("it reports nothing in task.outcome['spent'], though it says that it depends on the budget")
    taken = first.student_steps or first.other_steps
    if not spent.steps == len(first.records) == taken == steps:
        raise Fault(f"given {steps} steps it takes {taken}, logs {len(first.records)} and reports {spent.steps}")
    if first.changes:
        raise Fault(f"the student changes between its steps ({first.changes} times): something else trains it, too")
    if first.student_steps and spent.tokens != first.tokens:
        raise Fault(f"it reports {spent.tokens} tokens, but the student reads {first.tokens}")
    if abs(spent.seconds - first.seconds) > SLACK + 0.1 * first.seconds:
        raise Fault(f"it reports {spent.seconds:.1f} s, but takes {first.seconds:.1f} s")
    for budget in (Budget(max(spent.tokens // 2, 1), "tokens"), Budget(1, "seconds")):
        trial = subject.fit(budget)
        ends = [0, *(record[budget.unit] for record in trial.records)]
        if not ends[-2] <= budget.amount <= ends[-1] + 1e-3:  # logged seconds are rounded
            raise Fault(f"given {budget.amount} {budget.unit} it ends after {ends[-1]:g}")
    return f"{steps} steps and {spent.tokens:,} tokens, as counted from outside; budgets in tokens and seconds end, too"


def has_gradients(subject: Subject) -> str:
    """The student is given finite gradients."""
    norms = subject.first.norms
    if not subject.depends_on("budget"):
        raise DoesNotApply("it takes no steps")
    if not norms:
        raise DoesNotApply("it trains no student")
    if not all(map(math.isfinite, norms)):
        raise Fault("the student's gradient is not finite")
    if not any(norms):
        raise Fault("no gradient reaches the student")
    return f"the norm of the student's, clipped, is between {min(norms):.2g} and {max(norms):.2g}"


def leaves_the_teacher(subject: Subject) -> str:
    """The teacher stays frozen."""
    after = compare_teacher(subject.first.teacher, subject.materials.teacher)
    if after["drift"]:
        raise Fault(f"it moves the frozen teacher's weights by up to {after['drift']:.2g}")
    if after["trainable"]:
        raise Fault("it makes the frozen teacher's parameters require gradients")
    return "its weights did not move"


def survives_saving(subject: Subject) -> str:
    """A retriever that is loaded in another process finds what it found here."""
    here = subject.runs(subject.first.retriever)
    _ = subject.saved
    there = subject.elsewhere(_found)
    for scoring, run in here.items():
        if changed := sum(run[query] != there[scoring].get(query) for query in run):
            raise Fault(f"saved and loaded, it ranks {changed} of {len(run)} queries otherwise by {scoring}")
    return f"loaded in another process it has the same runs by {', '.join(here)}"


def sees_no_test(subject: Subject) -> str:
    """It opens no test collection, and another one changes nothing."""
    unrepeatable = subject.repeated
    write_test(conlang.test(PAIR.query, replace(OPTIONS, seed=1)), subject.mirror)
    other = subject.fit()
    if looked_at := [*subject.first.test_data, *other.test_data]:
        raise Fault(f"it reads test data: {looked_at[0].removeprefix(f'{subject.mirror.resolve()}/')}")
    if unrepeatable:
        raise DoesNotApply("it opened none; whether it depends on one cannot be told, as no two trainings are the same")
    if different := subject.difference(subject.files(other)):
        raise Fault(f"with another test collection at hand it differs in {different}")
    return "it opened none, and with others at hand it is the same"


def resumes(subject: Subject) -> str:
    """A training that dies and goes on ends in the same bytes."""
    if not subject.depends_on("budget"):
        raise DoesNotApply("it takes no steps")
    if subject.repeated:
        raise DoesNotApply("this cannot be told, as no two trainings are the same")
    checkpoint = subject.folder / "checkpoint.safetensors"
    last = subject.asked.steps // 2 + 1
    try:
        subject.fit(die_at=last, checkpoint=Checkpoint(checkpoint, interval=0))
    except Died:
        trial = subject.fit(checkpoint=Checkpoint(checkpoint, interval=0))
    else:
        raise Fault(f"it tells of no step {last}")
    how = f"killed at step {last} and resumed from step {trial.resumed_from}"
    if different := subject.difference(subject.files(trial)):
        raise Fault(f"{how}, it differs in {different}")
    return f"{how} it ends in the same files"


CHECKS = (
    described,
    configured,
    trains,
    deterministic,
    within_budget,
    has_gradients,
    leaves_the_teacher,
    survives_saving,
    resumes,
    sees_no_test,  # the last, for it replaces the test collection
)


@contextmanager
def other_process() -> Iterator[Executor]:
    """A process of its own, in which the elements of a set have another order than here."""
    context = multiprocessing.get_context("spawn")
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    with environment("PYTHONHASHSEED", seed), ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


def _work(work: Callable[[Subject], Any], text: str, asked: Validation, folder: Path) -> Any:
    with one_thread():
        return work(Subject(text, asked, folder))


def _fitted(subject: Subject) -> dict[str, str]:
    return subject.files(subject.fit())


def _found(subject: Subject) -> dict[str, Run]:
    return subject.runs(subject.row.load(subject.folder / "first", subject.materials.teacher))


def write_test(test: TestCollection, mirror: Path) -> None:
    """Write a test collection, in BEIR's layout, to where `--mirror` would be looked into."""
    folder = mirror / "clir-bench" / "validation"
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, ids, texts in (
        ("queries", test.query_ids, test.queries),
        ("corpus", test.document_ids, test.documents),
    ):
        rows = ({"_id": key, "text": text} for key, text in zip(ids, texts, strict=True))
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    judged = ((query, document, grade) for query, row in test.qrels.items() for document, grade in row.items())
    lines = ("query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in judged))
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def collections() -> list[Path]:
    """The folders that have collections of this user; that of encoders has none."""
    mirror, home = os.environ.get("BENCH_MIRROR"), default_cache()
    cached = [folder for folder in home.glob("*") if folder.name != "encoders"]
    return [folder.resolve() for folder in [*cached, *([Path(mirror)] if mirror else [])]]


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file in a folder."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Within the block, and for processes that start there, an environment variable has this value."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
