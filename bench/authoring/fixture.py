"""The method that `bench validate` checks, and its trainings on a small part of the generated collection."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.authoring.recorded_run import RecordedRun
from bench.data import Pair, conlang
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.encoders.models import default_recipe
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import Retriever
from bench.evaluation.run import Run
from bench.options import read_config
from bench.progress import Display
from bench.recipe import Budget, Recipe
from bench.request import Validation
from bench.running.method_specs import ResolvedMethod, make_method, resolve_method, with_recipe
from bench.running.resources import Resources
from bench.spec import RunSpec
from bench.storage.sealed import sha256_of
from bench.system.processes import Worker
from bench.training.checkpoint import Checkpoint
from bench.training.tiny import one_thread

ENCODER = "tiny"
PAIR = Pair("qaa", "eng")
SIZES: dict[str, Any] = {"scale": 0.1, "test_queries": 40, "dev_queries": 40}
OPTIONS = conlang.ConlangOptions(**SIZES)
CARD = Card(
    name="conlang",
    description="a tenth of the generated collection",
    licence="that of this project",
    data=[
        {"role": role, "format": "conlang", "pairs": [pair], "options": SIZES}
        for role, pair in (("test", "qaa-eng"), ("bitext", "qaa-eng"), ("relevance", "eng-eng"))
    ],
)


@dataclass
class Fixture:
    """A method, or a combination, under validation."""

    text: str
    options: Validation
    folder: Path
    """The folder of temporary files."""
    display: Display = field(default_factory=lambda: Display(quiet=True))
    guarded: Sequence[Path] = ()
    """Folders of test collections, in which no file may be opened."""
    other: Worker | None = None
    """Another process; None within that process."""

    @cached_property
    def row(self) -> ResolvedMethod:
        return resolve_method(self.text, self.options.method)

    @cached_property
    def resources(self) -> Resources:
        # A cache of its own, because reading files in the user's cache counts as reading test data.
        resolver = Resolver(offline=True, derived=self.folder / "cache")
        return Resources(ENCODER, "cpu", "float32", {CARD.name: CARD}, resolver, self.display, threads=1)

    @cached_property
    def first(self) -> RecordedRun:
        """The training that all others are compared with. Its retriever stays in `saved`."""
        trial = self.fit()
        shutil.move(self.folder / "retriever", self.saved)
        return trial

    @property
    def saved(self) -> Path:
        return self.folder / "first"

    @cached_property
    def repeated(self) -> str:
        """The files in which a second, equal training differs from the first."""
        return self.difference(self.fit().files)

    def depends_on(self, what: str) -> bool:
        return what in self.row.depends_on

    def fit(
        self,
        budget: Budget | None = None,
        seed: int = 0,
        checkpoint: Checkpoint | None = None,
        die_at: int | None = None,
    ) -> RecordedRun:
        """Train once, recorded, and save the retriever."""
        recipe = read_config(Recipe, {**default_recipe(ENCODER).model_dump(), **self.options.recipe}, "recipe")
        spec = RunSpec(
            methods=self.row.methods,
            pairs=(PAIR,),
            train=(CARD.name,) if self.depends_on("data") else (),
            encoder=ENCODER,
            recipe=with_recipe(recipe.model_dump(), recipe.model_dump()),
            budget=budget or Budget(self.options.steps, "steps"),
            seed=seed,
        )
        task = self.resources.task(spec)
        trial = RecordedRun(task.teacher, self.guarded, die_at)
        make_student = task.make_student
        task.make_student = lambda: trial.watched(make_student())
        task.on_step, task.on_resume, task.checkpoint = trial.on_step, trial.on_resume, checkpoint
        with trial.watching():
            trial.retriever = make_method(self.row.methods).fit(task)
        trial.spent = task.outcome.get("spent")
        place = self.folder / "retriever"
        shutil.rmtree(place, ignore_errors=True)
        trial.retriever.save(place, self.resources.teacher)
        paths = [path for path in sorted(place.rglob("*")) if path.is_file()]
        trial.files = {path.relative_to(place).as_posix(): sha256_of(path) for path in paths}
        return trial

    def difference(self, files: Mapping[str, str]) -> str:
        """Return the names of a retriever's files that differ from those of the first training."""
        first = self.first.files
        return ", ".join(sorted(name for name in {*first, *files} if first.get(name) != files.get(name)))

    def runs(self, retriever: Retriever) -> dict[str, Run]:
        """Return the retriever's run for the queries of the development part, by scoring."""
        test = conlang.dev(PAIR.query, OPTIONS)
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            cache, scratch, oracle = Path(name) / "cache", Path(name) / "scratch", self.row.oracle
            return {
                scoring: evaluate(retriever, test, scoring=scoring, oracle=oracle, cache=cache, scratch=scratch).run
                for scoring in self.row.scorings
            }

    def elsewhere(self, work: Callable[[Fixture], Any]) -> Any:
        """Return the value of a function of the subject, computed in the other process."""
        assert self.other is not None
        return self.other.run(_work, work, self.text, self.options, self.folder)


def _work(work: Callable[[Fixture], Any], text: str, options: Validation, folder: Path) -> Any:
    with one_thread():
        return work(Fixture(text, options, folder))


def write_test(mirror: Path, options: conlang.ConlangOptions) -> None:
    """Write a test collection in BEIR's layout to a mirror."""
    test = conlang.test(PAIR.query, options)
    folder = mirror / "clir-bench" / "validation"
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, ids, texts in (("queries", test.query_ids, test.queries), ("corpus", test.document_ids, test.documents)):
        rows = (json.dumps({"_id": key, "text": text}) for key, text in zip(ids, texts, strict=True))
        (folder / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    judged = (f"{query}\t{document}\t{grade}" for query, row in test.qrels.items() for document, grade in row.items())
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]), encoding="utf-8")
