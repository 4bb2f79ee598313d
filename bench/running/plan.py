"""From what a user asks for to the trainings and cells that answer it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.data import Pair, TestCollection
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.levels import Level
from bench.data.loading import load_test
from bench.data.mixing import default_mix, training_data
from bench.encoders.models import default_recipe
from bench.errors import BenchError
from bench.evaluation.measures import BIAS, MINING
from bench.options import read_config
from bench.request import Request, measures_of, offered_pairs
from bench.running.rows import Row, make_rows
from bench.training.budget import Budget
from bench.training.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """One retriever to make. What its method does not depend on is None or empty, so that it is made once."""

    row: Row
    pairs: tuple[Pair, ...]
    """One, or several that one student is trained for together."""
    train: tuple[str, ...]
    keep_leaks: bool
    level: Level
    encoder: str
    recipe: Recipe
    budget: Budget | None
    seed: int | None

    @property
    def identity(self) -> dict[str, str]:
        """The columns that name this training in a leaderboard."""
        config = [self.row.config, self.changed_recipe, "leakage=keep" if self.keep_leaks else ""]
        return {
            "method": self.row.name,
            "config": " ".join(filter(None, config)),
            "uses": " + ".join(self.row.uses),
            "pair": " + ".join(map(str, self.pairs)),
            "students": "joint" if len(self.pairs) > 1 else "",
            "train": " + ".join(self.train),
            "bitext_size": "" if self.level.size is None else str(self.level.size),
            "bitext_noise": f"{self.level.noise:g}" if self.level.noise else "",
            "encoder": self.encoder,
            "budget": "" if self.budget is None else str(self.budget),
            "seed": "" if self.seed is None else str(self.seed),
        }

    @property
    def changed_recipe(self) -> str:
        """What of the recipe is not the default of its encoder, as `recipe.key=value`."""
        usual = default_recipe(self.encoder).model_dump() if self.train else self.recipe.model_dump()
        changed = {key: value for key, value in self.recipe.model_dump().items() if value != usual[key]}
        return " ".join(f"recipe.{key}={value}" for key, value in changed.items())

    @property
    def label(self) -> str:
        """For people and folder names."""
        if len(self.pairs) == 1:
            return self.label_on(str(self.pairs[0]))
        return self.label_on(f"{len(self.pairs)}languages-{self.pairs[0].document}")

    def label_on(self, pair: str) -> str:
        """The same for its work on a pair that may be another."""
        size = f".{self.level.size}pairs" if self.level.size is not None else ""
        noise = f".noise{self.level.noise:g}" if self.level.noise else ""
        joint = ".joint" if len(self.pairs) > 1 else ""
        seed = f".seed{self.seed}" if self.seed is not None else ""
        return f"{self.row.name}.{pair}.{Path(self.encoder).name}{joint}{size}{noise}{seed}"


@dataclass(frozen=True, eq=False)
class Cell:
    """One retriever to evaluate on one test collection with one scoring, whose pair may be another than its own."""

    training: Training
    test: TestCollection
    scoring: str
    measures: tuple[str, ...]

    @property
    def identity(self) -> dict[str, str]:
        """The columns that name this cell in a leaderboard; the pair is the test's."""
        own = {"dataset": self.test.name, "pair": str(self.test.pair), "scoring": self.scoring}
        return {**self.training.identity, **own}

    @property
    def label(self) -> str:
        """For people and folder names."""
        return f"{self.training.label_on(str(self.test.pair))}.{self.test.name}.{self.scoring}"


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
        """What any of the cells is scored by."""
        return list(dict.fromkeys(name for cells in self.cells.values() for cell in cells for name in cell.measures))

    def add(self, training: Training, test: TestCollection, request: Request, card: Card) -> None:
        """The cells of a training on a test collection, or a line that says why there is none."""
        skipped = f"skipped: {training.row.name} on {test.name} {test.pair}"
        if training.row.oracle and test.oracle_queries is None:
            self.notes.append(f"{skipped}: it has no translation of its queries")
            return
        scorings = _scorings(training.row, test, request)
        if not scorings:
            self.notes.append(f"{skipped}: pairs are mined by mean scoring")
            return
        measures = tuple(MINING) if test.mining else measures_of(request, card)
        if test.document_languages:
            measures += tuple(BIAS)
        self.cells.setdefault(training, []).extend(Cell(training, test, scoring, measures) for scoring in scorings)


def make_plan(request: Request, cards: Mapping[str, Card], resolver: Resolver) -> Plan:
    """Load the test collections and lay out the cells. Raises `BenchError` for what cannot be planned at all."""
    encoder = request.encoder or default_encoder([cards[name] for name in request.datasets])
    rows = make_rows(request)
    recipe = read_config(Recipe, {**default_recipe(encoder).model_dump(), **request.recipe}, "recipe")
    plan = Plan(encoder, recipe, rows)
    offered = offered_pairs(request, cards)
    for pair in request.pairs:
        for name in request.datasets:
            if pair not in offered[name]:
                plan.notes.append(f"skipped: {name} has no {pair}")
    pairs = request.pairs or tuple(dict.fromkeys(pair for pairs in offered.values() for pair in pairs))
    tests = {
        (name, pair): load_test(cards[name], pair, resolver, cards)
        for pair in pairs
        for name in request.datasets
        if pair in offered[name]
    }
    for test in tests.values():
        if test.left_out:
            of = f"{test.left_out:,} of {test.left_out + len(test.queries):,} queries"
            plan.notes.append(f"{test.name} {test.pair}: left out {of}: no document is judged relevant to them")
        if test.mining and set(request.scoring) != {"mean"}:
            plan.notes.append(f"{test.name} {test.pair}: its pairs are mined by mean scoring, whatever is asked for")
    if request.leakage == "keep":
        plan.notes.append("LEAKAGE IS KEPT: the rows marked leakage=keep have trained on what the tests judge by")
    mixes, why_not = _mixes(request, pairs, cards)
    levels: dict[tuple[Pair, ...], list[Level]] = {}
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
                    levels[together] = _levels(request, together, train, resolver, cards, plan.notes)
                for training in _trainings(request, row, together, train, levels[together], plan):
                    for dataset in (other for other in request.datasets if (other, pair) in tests):
                        plan.add(training, tests[dataset, pair], request, cards[dataset])
    if not runnable:
        reasons = "; ".join(dict.fromkeys(why_not.values()))
        raise BenchError(f"none of {', '.join(request.methods)} can run on {', '.join(map(str, pairs))}: {reasons}")
    return plan


def _scorings(row: Row, test: TestCollection, request: Request) -> tuple[str, ...]:
    """Those asked for that a method has, or else its own. Pairs are mined by `mean`, whatever is asked for."""
    if test.mining:
        return ("mean",) if "mean" in row.scorings else ()
    return tuple(scoring for scoring in request.scoring if scoring in row.scorings) or row.scorings


def default_encoder(datasets: Sequence[Card]) -> str:
    """The tiny encoder for generated collections, which is all it has learned of, else the small real one."""
    return "tiny" if all(card.generated for card in datasets) else "all-MiniLM-L6-v2"


def _mixes(
    request: Request, pairs: Sequence[Pair], cards: Mapping[str, Card]
) -> tuple[dict[Pair, tuple[str, ...]], dict[Pair, str]]:
    """What to train on for each pair that is trained for, and why there is nothing for the others."""
    mixes: dict[Pair, tuple[str, ...]] = {}
    why_not: dict[Pair, str] = {}
    for pair in dict.fromkeys(pair.training for pair in pairs):
        try:
            mixes[pair] = request.train or (default_mix(pair, cards),)
        except BenchError as error:
            why_not[pair] = str(error)
    return mixes, why_not


def _students(request: Request, row: Row, pair: Pair, mixes: Mapping[Pair, tuple[str, ...]]) -> list[tuple[Pair, ...]]:
    """Which pairs the students are trained for that a row has for a pair: it alone, or all with its documents."""
    if "data" not in row.depends_on:
        return [(pair,)]
    joint = tuple(sorted(other for other in mixes if other.document == pair.document))
    return list(dict.fromkeys((pair,) if kind == "pair" else joint for kind in request.students))


def _levels(
    request: Request,
    pairs: tuple[Pair, ...],
    mix: tuple[str, ...],
    resolver: Resolver,
    cards: Mapping[str, Card],
    notes: list[str],
) -> list[Level]:
    """The levels asked for, each once; a size that takes all of the bitext is all of it."""
    sizes: list[int | None] = [None if size == "all" else size for size in request.bitext_size]
    if mix and any(sizes):
        try:
            bitext = training_data(mix, pairs, resolver, cards, keep_leaks=request.leakage == "keep").bitext
        except BenchError:
            pass  # told by each training that fails for it
        else:
            available = max(Counter(bitext.pairs).values(), default=0)
            for i, size in enumerate(sizes):
                if size is not None and size >= available:
                    of = ", ".join(map(str, pairs))
                    notes.append(f"bitext size {size:,} on {of} is all: there are {available:,} pairs")
                    sizes[i] = None
    return [Level(size, noise) for size in dict.fromkeys(sizes) for noise in request.bitext_noise]


def _trainings(
    request: Request, row: Row, pairs: tuple[Pair, ...], mix: tuple[str, ...], levels: Sequence[Level], plan: Plan
) -> list[Training]:
    depends = row.depends_on

    def seeds(level: Level) -> tuple[int | None, ...]:
        sampled = "data" in depends and level != Level()  # which rows are drawn depends on the seed
        return request.seeds if "seed" in depends or sampled else (None,)

    return [
        Training(
            row=row,
            pairs=pairs,
            train=mix if "data" in depends else (),
            keep_leaks=request.leakage == "keep" and "data" in depends,
            level=level,
            encoder=plan.encoder,
            recipe=plan.recipe,
            budget=request.budget if "budget" in depends else None,
            seed=seed,
        )
        for level in (levels if "data" in depends else [Level()])
        for seed in seeds(level)
    ]
