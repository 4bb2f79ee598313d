"""From what a user asks for to the trainings and cells that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.data import Pair, TestCollection
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.levels import Level
from bench.data.loading import load_test
from bench.data.mixing import default_mix, training_data
from bench.encoders.models import default_recipe
from bench.errors import BenchError
from bench.evaluation.measures import MINING
from bench.options import read_config
from bench.registry import MethodEntry
from bench.request import Request, measures_of, offered_pairs
from bench.training.budget import Budget
from bench.training.recipe import Recipe

if TYPE_CHECKING:
    from bench.training.method import Method, MethodConfig


@dataclass(frozen=True)
class Training:
    """One retriever to make. What its method does not depend on is None or empty, so that it is made once."""

    entry: MethodEntry
    method: type[Method]
    config: MethodConfig
    pair: Pair
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
        return {
            "method": self.entry.name,
            "config": " ".join(
                filter(
                    None,
                    [describe_config(self.config), self.changed_recipe, "leakage=keep" if self.keep_leaks else ""],
                )
            ),
            "uses": " + ".join(self.method.uses),
            "pair": str(self.pair),
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
        return self.label_on(self.pair)

    def label_on(self, pair: Pair) -> str:
        """The same for its work on a pair that may be another."""
        size = f".{self.level.size}pairs" if self.level.size is not None else ""
        noise = f".noise{self.level.noise:g}" if self.level.noise else ""
        seed = f".seed{self.seed}" if self.seed is not None else ""
        return f"{self.entry.name}.{pair}.{Path(self.encoder).name}{size}{noise}{seed}"


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
        return f"{self.training.label_on(self.test.pair)}.{self.test.name}.{self.scoring}"


@dataclass
class Plan:
    """Cells by training, in the order in which they run, and a line for each thing left out."""

    encoder: str
    recipe: Recipe
    configs: dict[str, MethodConfig]
    """Of each method and reference row by name, without the settings that single rows have of their own."""
    cells: dict[Training, list[Cell]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def measures(self) -> list[str]:
        """What any of the cells is scored by."""
        return list(dict.fromkeys(name for cells in self.cells.values() for cell in cells for name in cell.measures))


def make_plan(request: Request, cards: Mapping[str, Card], resolver: Resolver) -> Plan:
    """Load the test collections and lay out the cells. Raises `BenchError` for what cannot be planned at all."""
    encoder = request.encoder or default_encoder([cards[name] for name in request.datasets])
    rows = _rows(request)
    recipe = read_config(Recipe, {**default_recipe(encoder).model_dump(), **request.recipe}, "recipe")
    plan = Plan(encoder, recipe, {row.entry.name: row.base for row in rows})
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
    if request.leakage == "keep":
        plan.notes.append("LEAKAGE IS KEPT: the rows marked leakage=keep have trained on what the tests judge by")
    levels: dict[Pair, list[Level]] = {}
    runnable = 0
    for pair in pairs:
        mix, why_not = _training_mix(request.train, pair.training, cards)
        if pair.training not in levels:
            levels[pair.training] = _levels(request, pair.training, mix, resolver, cards, plan.notes)
        for row in rows:
            name, method = row.entry.name, row.method
            if "data" in method.depends_on and not mix:
                plan.notes.append(f"skipped: {name} on {pair}: {why_not}")
                continue
            runnable += row.asked
            for training in _trainings(request, row, pair.training, mix, levels[pair.training], plan):
                for dataset in (other for other in request.datasets if (other, pair) in tests):
                    test = tests[dataset, pair]
                    if method.oracle and test.oracle_queries is None:
                        plan.notes.append(
                            f"skipped: {name} on {test.name} {pair}: it has no translation of its queries"
                        )
                        continue
                    measures = tuple(MINING) if test.mining else measures_of(request, cards[dataset])
                    plan.cells.setdefault(training, []).extend(
                        Cell(training, test, scoring, measures) for scoring in request.scoring
                    )
    if not runnable:
        raise BenchError(f"none of {', '.join(request.methods)} can run on {', '.join(map(str, pairs))}: {why_not}")
    return plan


def default_encoder(datasets: Sequence[Card]) -> str:
    """The tiny encoder for generated collections, which is all it has learned of, else the small real one."""
    return "tiny" if all(card.generated for card in datasets) else "all-MiniLM-L6-v2"


def describe_config(config: MethodConfig) -> str:
    """The values of a configuration that are not its defaults, as `key=value key=value`."""
    defaults = type(config)().model_dump()
    return " ".join(f"{key}={value}" for key, value in config.model_dump().items() if value != defaults[key])


@dataclass(frozen=True)
class _Row:
    """A method with its configuration: what the rows of a leaderboard are made by."""

    entry: MethodEntry
    method: type[Method]
    base: MethodConfig
    config: MethodConfig
    asked: bool


def _rows(request: Request) -> list[_Row]:
    """The reference rows and the methods asked for. Raises `BenchError` if two methods share a name, and for settings
    that a method does not have.
    """
    specs = [registry.parse_spec(text) for text in request.methods]
    asked = [(registry.find_method(spec.name), dict(spec.settings), True) for spec in specs]
    named: dict[str, MethodEntry] = {}
    rows: dict[tuple[str, MethodConfig], _Row] = {}
    for entry, settings, is_asked in [*((entry, {}, False) for entry in registry.references().values()), *asked]:
        if named.setdefault(entry.name, entry) != entry:
            raise BenchError(f"two methods are called '{entry.name}'; rename one, or run them in separate calls")
        method, shared = entry.load(), request.method.get(entry.name, {})
        base = read_config(method.Config, shared, f"method '{entry.name}'")
        config = read_config(method.Config, {**shared, **settings}, f"method '{entry.name}'")
        rows[entry.name, config] = _Row(entry, method, base, config, is_asked)
    return list(rows.values())


def _training_mix(train: tuple[str, ...], pair: Pair, cards: Mapping[str, Card]) -> tuple[tuple[str, ...], str]:
    if train:
        return train, ""
    try:
        return (default_mix(pair, cards),), ""
    except BenchError as error:
        return (), str(error)


def _levels(
    request: Request,
    pair: Pair,
    mix: tuple[str, ...],
    resolver: Resolver,
    cards: Mapping[str, Card],
    notes: list[str],
) -> list[Level]:
    """The levels asked for, each once; a size that takes all of the bitext is all of it."""
    sizes: list[int | None] = [None if size == "all" else size for size in request.bitext_size]
    if mix and any(sizes):
        try:
            keep_leaks = request.leakage == "keep"
            available = len(training_data(mix, pair, resolver, cards, keep_leaks=keep_leaks).bitext)
        except BenchError:
            pass  # told by each training that fails for it
        else:
            for i, size in enumerate(sizes):
                if size is not None and size >= available:
                    notes.append(f"bitext size {size:,} on {pair} is all: there are {available:,} pairs")
                    sizes[i] = None
    return [Level(size, noise) for size in dict.fromkeys(sizes) for noise in request.bitext_noise]


def _trainings(
    request: Request, row: _Row, pair: Pair, mix: tuple[str, ...], levels: Sequence[Level], plan: Plan
) -> list[Training]:
    depends = row.method.depends_on
    seeds: tuple[int | None, ...] = request.seeds if "seed" in depends else (None,)
    return [
        Training(
            entry=row.entry,
            method=row.method,
            config=row.config,
            pair=pair,
            train=mix if "data" in depends else (),
            keep_leaks=request.leakage == "keep" and "data" in depends,
            level=level,
            encoder=plan.encoder,
            recipe=plan.recipe,
            budget=request.budget if "budget" in depends else None,
            seed=seed,
        )
        for level in (levels if "data" in depends else [Level()])
        for seed in seeds
    ]
