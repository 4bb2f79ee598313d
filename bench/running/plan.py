"""From what a user asks for to the trainings and cells that answer it; no text is read for it."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.data import Pair, TestSummary
from bench.data.cards import Card
from bench.data.dimensions import Level
from bench.data.files import Resolver
from bench.data.mixing import default_mix
from bench.data.sources import LazyTestCollection, LazyTrainingData
from bench.encoders.models import default_recipe
from bench.errors import BenchError
from bench.evaluation.tasks import task_of
from bench.options import read_config
from bench.request import SCORINGS, Request, measures_of, offered_pairs
from bench.running.rows import Call, Row, make_rows, with_recipe
from bench.spec import Configured, RunSpec
from bench.training.recipe import Recipe

TABLE = ("training", "budget", "trains on", "collection", "queries", "documents", "state")
"""The columns of `plan_table`."""


@dataclass(frozen=True)
class Training:
    """A retriever to make: its spec without a test, and the methods that make it."""

    spec: RunSpec
    row: Row = field(compare=False)


@dataclass(frozen=True)
class Cell:
    """A retriever to evaluate on one test collection with one scoring, whose pair may be another than its own."""

    spec: RunSpec
    test: LazyTestCollection = field(compare=False)
    measures: tuple[str, ...] = field(compare=False)


@dataclass
class Plan:
    """Cells by training, in the order in which they run, and a line for each thing left out."""

    encoder: str
    recipe: Recipe
    rows: list[Row]
    cells: dict[Training, list[Cell]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def measures(self) -> list[str]:
        """The measures of all cells."""
        return list(dict.fromkeys(name for cells in self.cells.values() for cell in cells for name in cell.measures))

    def add(self, training: Training, test: LazyTestCollection, known: TestSummary | None, request: Request) -> None:
        """Add the cells of a training on a test collection, or a line that says why there is none."""
        skipped = f"skipped: {training.row.name} on {test.name} {test.pair}"
        if training.row.oracle and known and not known.has_oracle_queries:
            self.notes.append(f"{skipped}: it has no translation of its queries")
            return
        task = task_of(known)
        scorings = task.scorings(request.scoring, training.row.scorings)
        if not scorings:
            self.notes.append(f"{skipped}: {task.restriction}")
            return
        measures = task.measures(measures_of(request, test.card))
        for scoring in scorings:
            spec = replace(training.spec, dataset=test.name, pair=test.pair, scoring=scoring)
            self.cells.setdefault(training, []).append(Cell(spec, test, measures))


def make_plan(
    request: Request, cards: Mapping[str, Card], resolver: Resolver, *, call: Call = operator.call, read: bool = True
) -> Plan:
    """Lay out the trainings and cells. `call` asks the classes of plugins.

    A test collection is read only if nothing is known of it yet, and with `read=False` not even then. Raises
    `BenchError` for what cannot be planned at all.
    """
    encoder = request.encoder or default_encoder([cards[name] for name in request.datasets])
    encoder = str(Path(encoder).expanduser().absolute()) if Path(encoder).expanduser().is_dir() else encoder
    rows = make_rows(request, call)
    usual = default_recipe(encoder)
    recipe = read_config(Recipe, {**usual.model_dump(), **request.recipe}, "recipe")
    plan = Plan(encoder, recipe, rows)
    offered = offered_pairs(request, cards)
    for pair in request.pairs:
        for name in request.datasets:
            if pair not in offered[name]:
                plan.notes.append(f"skipped: {name} has no {pair}")
    pairs = request.pairs or tuple(dict.fromkeys(pair for pairs in offered.values() for pair in pairs))
    tests = {
        (name, pair): LazyTestCollection(cards[name], pair, resolver, cards)
        for pair in pairs
        for name in request.datasets
        if pair in offered[name]
    }
    known = {key: test.summary if read else test.summary_if_known for key, test in tests.items()}
    for key, summary in known.items():
        plan.notes += _notes(tests[key], summary, request)
    if request.leakage == "keep":
        plan.notes.append("LEAKAGE IS KEPT: the rows marked leakage=keep have trained on what the tests judge by")
    mixes, why_not = _mixes(request, pairs, cards)
    levels: dict[tuple[Pair, ...], list[Level]] = {}
    configured = with_recipe(usual.model_dump(), recipe.model_dump())
    runnable = 0
    for pair in pairs:
        for row in rows:
            if "data" in row.depends_on and pair.training not in mixes:
                plan.notes.append(f"skipped: {row.name} on {pair}: {why_not[pair.training]}")
                continue
            runnable += row.asked
            for together in _students(request, row, pair.training, mixes):
                train = tuple(dict.fromkeys(name for one in together for name in mixes.get(one, ())))
                if together not in levels:
                    data = LazyTrainingData(train, together, resolver, cards, request.leakage == "keep")
                    levels[together] = _levels(request, data, plan.notes, read=read)
                for spec in _specs(request, row, together, train, levels[together], encoder, configured):
                    for dataset in (other for other in request.datasets if (other, pair) in tests):
                        test = tests[dataset, pair]
                        plan.add(Training(spec, row), test, known[dataset, pair], request)
    if not runnable:
        reasons = "; ".join(dict.fromkeys(why_not.values()))
        raise BenchError(f"none of {', '.join(request.methods)} can run on {', '.join(map(str, pairs))}: {reasons}")
    return plan


def plan_table(plan: Plan, finished: Collection[Cell]) -> list[list[str]]:
    """Return a row of `TABLE` for each cell. Sizes are `?` if only reading the collection would tell them."""
    rows = []
    for training, cells in plan.cells.items():
        spec = training.spec
        about = [spec.label, str(spec.budget or "-"), " + ".join(spec.train) or "-"]
        for cell in cells:
            test, known = cell.test, cell.test.summary_if_known
            where = f"{test.name} {test.pair} {cell.spec.scoring}".removesuffix(" mean")
            sizes = (f"{known.queries:,}", f"{known.documents:,}") if known else ("?", "?")
            rows.append([*about, where, *sizes, "finished" if cell in finished else "missing"])
            about = ["", "", ""]
    return rows


def _notes(test: LazyTestCollection, known: TestSummary | None, request: Request) -> list[str]:
    if known is None:
        return [f"{test.name} {test.pair}: not read yet, so how much there is to do is not known"]
    notes = []
    if known.left_out:
        of = f"{known.left_out:,} of {known.left_out + known.queries:,} queries"
        notes.append(f"{test.name} {test.pair}: left out {of}: no document is judged relevant to them")
    task = task_of(known)
    if not set(request.scoring) <= set(task.scorings(request.scoring, SCORINGS)):
        notes.append(f"{test.name} {test.pair}: {task.restriction}")
    return notes


def default_encoder(datasets: Sequence[Card]) -> str:
    """Return the tiny encoder for generated collections, which is all it has learned of, else the small real one."""
    return "tiny" if all(card.generated for card in datasets) else "all-MiniLM-L6-v2"


def _mixes(
    request: Request, pairs: Sequence[Pair], cards: Mapping[str, Card]
) -> tuple[dict[Pair, tuple[str, ...]], dict[Pair, str]]:
    """Return what to train on for each pair that is trained for, and why there is nothing for the others."""
    mixes: dict[Pair, tuple[str, ...]] = {}
    why_not: dict[Pair, str] = {}
    for pair in dict.fromkeys(pair.training for pair in pairs):
        try:
            mixes[pair] = request.train or (default_mix(pair, cards),)
        except BenchError as error:
            why_not[pair] = str(error)
    return mixes, why_not


def _students(request: Request, row: Row, pair: Pair, mixes: Mapping[Pair, tuple[str, ...]]) -> list[tuple[Pair, ...]]:
    """Return which pairs students are trained for that a row has for a pair: it alone, or all with its documents."""
    if "data" not in row.depends_on:
        return [(pair,)]
    joint = tuple(sorted(other for other in mixes if other.document == pair.document))
    return list(dict.fromkeys((pair,) if kind == "pair" else joint for kind in request.students))


def _levels(request: Request, data: LazyTrainingData, notes: list[str], *, read: bool) -> list[Level]:
    """Return the levels asked for, each once; one with as many pairs as there are is that of all of them."""
    levels = request.levels
    if not data.names or all(level.bitext_size is None for level in levels):
        return levels
    try:
        summary = data.summary if read else data.summary_if_known
    except BenchError:  # each training that fails for it tells
        return levels
    if summary is None:
        return levels
    available = max(summary.bitext.values(), default=0)
    for size in dict.fromkeys(level.bitext_size for level in levels):
        if size is not None and size >= available:
            of = ", ".join(map(str, data.pairs))
            notes.append(f"bitext size {size:,} on {of} is all: there are {available:,} pairs")
    return list(dict.fromkeys(level.within(available) for level in levels))


def _specs(
    request: Request,
    row: Row,
    pairs: tuple[Pair, ...],
    mix: tuple[str, ...],
    levels: Sequence[Level],
    encoder: str,
    recipe: Configured,
) -> list[RunSpec]:
    depends = row.depends_on
    data = "data" in depends

    def seeds(level: Level) -> tuple[int | None, ...]:
        sampled = data and level != Level()  # which rows are drawn depends on the seed
        return request.seeds if "seed" in depends or sampled else (None,)

    return [
        RunSpec(
            methods=row.methods,
            pairs=pairs,
            train=mix if data else (),
            leakage=request.leakage if data else "remove",
            level=level,
            encoder=encoder,
            recipe=recipe if data else Configured(),
            budget=request.budget if "budget" in depends else None,
            seed=seed,
        )
        for level in (levels if data else [Level()])
        for seed in seeds(level)
    ]
