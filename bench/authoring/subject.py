"""What `bench validate` speaks of: a method, or a combination, and its trainings on the generated collection."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import conlang
from bench.authoring.trial import Trial
from bench.cache import default_cache
from bench.data import Pair, TestCollection
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.encoders.models import default_recipe
from bench.encoders.tiny import one_thread
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import Retriever
from bench.evaluation.run import Run
from bench.options import read_config
from bench.progress import Display
from bench.request import Validation
from bench.running.materials import Materials
from bench.running.rows import Row, make_method, make_row, with_recipe
from bench.sealed import sha256_of
from bench.spec import RunSpec
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
        return Materials(ENCODER, "cpu", "float32", {CARD.name: CARD}, Resolver(offline=True), self.display, threads=1)

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
        spec = RunSpec(
            methods=self.row.methods,
            pairs=(PAIR,),
            train=(CARD.name,) if self.depends_on("data") else (),
            encoder=ENCODER,
            recipe=with_recipe(self.recipe.model_dump(), self.recipe.model_dump()),
            budget=budget or Budget(self.asked.steps, "steps"),
            seed=seed,
        )
        task = self.materials.task(spec)
        trial = Trial(task.teacher, [self.mirror.resolve(), *collections()], die_at)
        make_student = task.make_student
        task.make_student = lambda: trial.watched(make_student())
        task.on_step, task.on_resume, task.checkpoint = trial.on_step, trial.on_resume, checkpoint
        with environment("BENCH_MIRROR", str(self.mirror)), trial.watching():
            trial.retriever = make_method(self.row.methods).fit(task)
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
