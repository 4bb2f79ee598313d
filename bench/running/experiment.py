"""The experiment of a comparison: trainings and cells of a request, planned without reading texts."""

import operator
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from bench.data import Pair, TestSummary
from bench.data.bitext_subsets import BitextSubset
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.sources import LazyTestCollection, LazyTrainingData
from bench.data.training_data import default_mix
from bench.encoders.models import KNOWN, TINY, default_recipe
from bench.errors import BenchError
from bench.evaluation import measures, tasks
from bench.options import read_config
from bench.recipe import Recipe
from bench.request import EXACT, Request, Scoring, measures_of, offered_pairs
from bench.running.method_specs import Call, ResolvedMethod, resolve_methods, with_recipe
from bench.spec import RunSpec
from bench.tables import Column

TABLE = [
    *(Column("training", "name"), Column("budget", "word", 2), Column("trains on", "name", 4)),
    *(Column("collection", "name"), Column("queries", priority=3), Column("documents", priority=3)),
    Column("state", "word"),
]


@dataclass(frozen=True)
class Training:
    """A retriever to train: its spec and its methods."""

    spec: RunSpec
    method: ResolvedMethod = field(compare=False)


@dataclass(frozen=True)
class Cell:
    """A retriever to evaluate on one test collection with one scoring."""

    spec: RunSpec
    test: LazyTestCollection = field(compare=False)
    measures: tuple[str, ...] = field(compare=False)
    parts: tuple[RunSpec, ...] = field(default=(), compare=False)
    """The cells of the parts of a fusion."""


@dataclass
class Experiment:
    """Cells by training in order of execution, and a message for each omission."""

    encoder: str
    recipe: Recipe
    methods: list[ResolvedMethod]
    cells: dict[Training, list[Cell]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def measures(self) -> list[str]:
        """The measures of all cells."""
        return list(dict.fromkeys(name for cells in self.cells.values() for cell in cells for name in cell.measures))

    def add(self, training: Training, test: LazyTestCollection, known: TestSummary | None, request: Request) -> None:
        """Add the cells of a training on a test collection, or a message with the reason for having none."""
        skipped = f"skipped: {training.method.name} on {test.name} {test.pair}"
        if training.method.oracle and known and not known.has_oracle_queries:
            self.notes.append(f"{skipped}: it has no translation of its queries")
            return
        task = known.task if known else "retrieval"
        scorings = tasks.scorings(task, request.scoring, training.method.scorings)
        if not scorings:
            self.notes.append(f"{skipped}: {tasks.RESTRICTION}")
            return
        names = tasks.measures_of(task, measures_of(request, test.card))
        if training.method.parts and all(map(measures.is_deep, names)):
            self.notes.append(f"{skipped}: the stored runs that it fuses are too short for {', '.join(names)}")
            return
        for scoring in scorings:
            index = request.index if scoring == "single-vector" and task != "bitext mining" else EXACT
            note = f"index {request.index} has no effect on {task if scoring == 'single-vector' else scoring}"
            if index != request.index and note not in self.notes:
                self.notes.append(note)
            self.add_cell(training, test, scoring, names, "" if index == EXACT else index)

    def add_cell(
        self, training: Training, test: LazyTestCollection, scoring: str, names: tuple[str, ...], index: str = ""
    ) -> RunSpec:
        """Add a cell with these measures after its parts, if it is new, and return its spec."""
        spec = replace(training.spec, dataset=test.name, pair=test.pair, scoring=scoring, index=index)
        parts = []
        for method in training.method.parts:
            part = Training(_of_method(training.spec, method, test.pair.training), method)
            parts.append(self.add_cell(part, test, method.scorings[0], names))
        if parts:
            names = tuple(name for name in names if not measures.is_deep(name))
        cell, cells = Cell(spec, test, names, tuple(parts)), self.cells.setdefault(training, [])
        if cell not in cells:
            cells.append(cell)
        return spec


def make_experiment(
    request: Request, cards: Mapping[str, Card], resolver: Resolver, *, call: Call = operator.call, read: bool = True
) -> Experiment:
    """Return the trainings and cells of a request. `call` loads the classes of plugins.

    A test collection is read if its summary is unknown, except with `read=False`. Raises `BenchError` if there is no
    cell.
    """
    # The tiny encoder was trained on the generated collections.
    generated = all(cards[name].generated for name in request.datasets)
    encoder = request.encoder or ("tiny" if generated else "all-MiniLM-L6-v2")
    if encoder not in KNOWN and not TINY.fullmatch(encoder) and Path(encoder).expanduser().is_dir():
        encoder = str(Path(encoder).expanduser().absolute())
    usual = default_recipe(encoder)
    recipe = read_config(Recipe, {**usual.model_dump(), **request.recipe}, "recipe")
    experiment = Experiment(encoder, recipe, resolve_methods(request, call))
    offered = offered_pairs(request, cards)
    pairs = request.pairs or tuple(dict.fromkeys(pair for pairs in offered.values() for pair in pairs))
    keys = [(name, pair) for name, its in offered.items() for pair in its]
    tests = {(name, pair): LazyTestCollection(cards[name], pair, resolver, cards) for name, pair in keys}
    missing = [(name, pair) for pair in request.pairs for name in request.datasets if (name, pair) not in tests]
    experiment.notes += [f"skipped: {name} has no {pair}" for name, pair in missing]
    if not read:
        for test in tests.values():
            test.check(offline=request.offline)
    known = {key: test.summary if read else test.summary_if_known for key, test in tests.items()}
    for (name, pair), summary in known.items():
        if summary:
            experiment.notes += summary.notes
            if not set(request.scoring) <= set(tasks.scorings(summary.task, request.scoring, get_args(Scoring))):
                experiment.notes.append(f"{name} {pair}: {tasks.RESTRICTION}")
    if request.leakage == "keep":
        experiment.notes.append("LEAKAGE IS KEPT: rows marked leakage=keep were trained on texts of test collections")
    mixes: dict[Pair, tuple[str, ...]] = {}
    why_not: dict[Pair, str] = {}
    for pair in dict.fromkeys(request.train_pairs or (pair.training for pair in pairs)):
        try:
            mixes[pair] = request.train or (default_mix(pair, cards),)
        except BenchError as error:
            why_not[pair] = str(error)
    subsets: dict[tuple[tuple[Pair, ...], Pair | None], list[BitextSubset]] = {}
    configured = with_recipe(usual.model_dump(), recipe.model_dump())
    common = RunSpec(methods=(), encoder=encoder, recipe=configured, leakage=request.leakage, budget=request.budget)
    runnable = False
    for pair in pairs:
        for method in experiment.methods:
            lacking = [each for each in request.train_pairs or (pair.training,) if each not in mixes]
            if "data" in method.depends_on and lacking:
                experiment.notes.append(f"skipped: {method.name} on {pair}: {why_not[lacking[0]]}")
                continue
            runnable |= method.asked
            for together in _students(request, method, pair.training, mixes):
                train = tuple(dict.fromkeys(name for one in together for name in mixes.get(one, ())))
                unseen = None if pair.training in together else pair.training
                if (together, unseen) not in subsets:
                    data = LazyTrainingData(train, together, resolver, cards, request.leakage == "keep", unseen)
                    data.check()
                    subsets[together, unseen] = _subsets(request, data, experiment.notes, read=read)
                spec, sizes = replace(common, pairs=together, unseen=unseen, train=train), subsets[together, unseen]
                each = [replace(spec, subset=size, seed=seed) for size in sizes for seed in request.seeds]
                for spec in dict.fromkeys(_of_method(one, method, together[0]) for one in each):
                    for dataset in (other for other in request.datasets if (other, pair) in tests):
                        experiment.add(Training(spec, method), tests[dataset, pair], known[dataset, pair], request)
    if not runnable:
        reasons = "; ".join(dict.fromkeys(why_not.values()))
        raise BenchError(f"none of {', '.join(request.methods)} can run on {', '.join(map(str, pairs))}: {reasons}")
    return experiment


def plan_table(experiment: Experiment, finished: Collection[Cell]) -> list[list[str]]:
    """Return a row of `TABLE` for each cell. Sizes are `?` for a collection that was never read."""
    rows = []
    for training, cells in experiment.cells.items():
        spec = training.spec
        about = [spec.label, str(spec.budget or "-"), " + ".join(spec.train) or "-"]
        for cell in cells:
            test, known = cell.test, cell.test.summary_if_known
            where = f"{test.name} {test.pair} {cell.spec.columns['scoring']}"
            sizes = (f"{known.queries:,}", f"{known.documents:,}") if known else ("?", "?")
            rows.append([*about, where, *sizes, "finished" if cell in finished else "missing"])
            about = ["", "", ""]
    return rows


def _students(
    request: Request, method: ResolvedMethod, pair: Pair, mixes: Mapping[Pair, tuple[str, ...]]
) -> list[tuple[Pair, ...]]:
    """Return the pairs of each student of a method: the pair alone, all pairs with its document language, or those of
    the request.
    """
    if "data" not in method.depends_on:
        return [(pair,)]
    if request.train_pairs:
        return [tuple(sorted(request.train_pairs))]
    multilingual = tuple(sorted(other for other in mixes if other.document == pair.document))
    return list(dict.fromkeys((pair,) if kind == "bilingual" else multilingual for kind in request.students))


def _subsets(request: Request, data: LazyTrainingData, notes: list[str], *, read: bool) -> list[BitextSubset]:
    """Return the subsets of a request without duplicates; a size of all pairs or more means all."""
    subsets, summary = request.subsets, None
    if data.names and any(subset.bitext_size is not None for subset in subsets):
        with suppress(BenchError):  # each failing training reports it
            summary = data.summary if read else data.summary_if_known
    if summary is None:
        return subsets
    available = max(summary.bitext.values(), default=0)
    sizes = dict.fromkeys(subset.bitext_size for subset in subsets)
    whole, of = [size for size in sizes if size is not None and size >= available], ", ".join(map(str, data.pairs))
    notes += [f"bitext size {size:,} on {of} means all {available:,} pairs" for size in whole]
    subsets = [replace(subset, bitext_size=None) if subset.bitext_size in whole else subset for subset in subsets]
    return list(dict.fromkeys(subsets))


def _of_method(spec: RunSpec, method: ResolvedMethod, pair: Pair) -> RunSpec:
    """Return the spec with another method, and with defaults for fields that do not apply to it.

    `pair` is the pair of a method without data.
    """
    spec = replace(spec, methods=method.methods, budget=spec.budget if "budget" in method.depends_on else None)
    if "data" not in method.depends_on:
        untrained = RunSpec(methods=method.methods, pairs=(pair,), encoder=spec.encoder)
        spec = replace(untrained, budget=spec.budget, seed=spec.seed)
    # The seed determines the sample of the data.
    return spec if "seed" in method.depends_on or spec.subset != BitextSubset() else replace(spec, seed=None)
