"""From what a user asks for to the trainings and cells that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.budget import Budget
from bench.cards import Card
from bench.data import Pair, TestCollection
from bench.errors import BenchError
from bench.files import Resolver
from bench.loading import default_mix, load_test
from bench.models import default_recipe
from bench.recipe import Recipe
from bench.registry import MethodEntry
from bench.request import Request, offered_pairs

if TYPE_CHECKING:
    from bench.method import Method, MethodConfig


@dataclass(frozen=True)
class Training:
    """One retriever to make. What its method does not depend on is None or empty, so that it is made once."""

    entry: MethodEntry
    method: type[Method]
    config: MethodConfig
    pair: Pair
    train: tuple[str, ...]
    encoder: str
    recipe: Recipe
    budget: Budget | None
    seed: int | None

    @property
    def identity(self) -> dict[str, str]:
        """The columns that name this training in a leaderboard."""
        return {
            "method": self.entry.name,
            "config": describe_config(self.config),
            "uses": " + ".join(self.method.uses),
            "pair": str(self.pair),
            "train": " + ".join(self.train),
            "encoder": self.encoder,
            "budget": "" if self.budget is None else str(self.budget),
            "seed": "" if self.seed is None else str(self.seed),
        }

    @property
    def label(self) -> str:
        """For people and folder names."""
        seed = f".seed{self.seed}" if self.seed is not None else ""
        return f"{self.entry.name}.{self.pair}.{Path(self.encoder).name}{seed}"


@dataclass(frozen=True, eq=False)
class Cell:
    """One retriever to evaluate on one test collection with one scoring."""

    training: Training
    test: TestCollection
    scoring: str

    @property
    def label(self) -> str:
        return f"{self.training.label}.{self.test.name}.{self.scoring}"


@dataclass
class Plan:
    """Cells by training, in the order in which they run, and a line for each thing left out."""

    encoder: str
    cells: dict[Training, list[Cell]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def make_plan(request: Request, cards: Mapping[str, Card], resolver: Resolver) -> Plan:
    """Load the test collections and lay out the cells. Raises `BenchError` for what cannot be planned at all."""
    encoder = request.encoder or default_encoder([cards[name] for name in request.datasets])
    plan = Plan(encoder)
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
    asked = [registry.find_method(name) for name in request.methods]
    classes = {entry: entry.load() for entry in _with_references(asked)}
    runnable = 0
    for pair in pairs:
        mix, why_not = _training_mix(request.train, pair, cards)
        for entry, method in classes.items():
            if "data" in method.depends_on and not mix:
                plan.notes.append(f"skipped: {entry.name} on {pair}: {why_not}")
                continue
            runnable += entry in asked
            for training in _trainings(request, entry, method, pair, mix, encoder):
                for name in request.datasets:
                    if (name, pair) not in tests:
                        continue
                    test = tests[name, pair]
                    if method.oracle and test.oracle_queries is None:
                        plan.notes.append(
                            f"skipped: {entry.name} on {name} {pair}: it has no translation of its queries"
                        )
                        continue
                    for scoring in request.scorings:
                        plan.cells.setdefault(training, []).append(Cell(training, test, scoring))
    if not runnable:
        raise BenchError(f"none of {', '.join(request.methods)} can run on {', '.join(map(str, pairs))}: {why_not}")
    return plan


def default_encoder(datasets: Sequence[Card]) -> str:
    """The tiny encoder for generated collections, which is all it has learned of, else the small real one."""
    return "tiny" if all(card.source is None for card in datasets) else "all-MiniLM-L6-v2"


def describe_config(config: MethodConfig) -> str:
    """The values of a configuration that are not its defaults, as `key=value key=value`."""
    defaults = type(config)().model_dump()
    return " ".join(f"{key}={value}" for key, value in config.model_dump().items() if value != defaults[key])


def _with_references(asked: Sequence[MethodEntry]) -> list[MethodEntry]:
    """The reference rows and the methods asked for, each once. Raises `BenchError` if two share a name."""
    entries = {entry.name: entry for entry in registry.references().values()}
    for entry in asked:
        if entries.setdefault(entry.name, entry) != entry:
            raise BenchError(f"two methods are called '{entry.name}'; rename one, or run them in separate calls")
    return list(entries.values())


def _training_mix(train: tuple[str, ...], pair: Pair, cards: Mapping[str, Card]) -> tuple[tuple[str, ...], str]:
    if train:
        return train, ""
    try:
        return (default_mix(pair, cards),), ""
    except BenchError as error:
        return (), str(error)


def _trainings(
    request: Request, entry: MethodEntry, method: type[Method], pair: Pair, mix: tuple[str, ...], encoder: str
) -> list[Training]:
    depends = method.depends_on
    seeds: tuple[int | None, ...] = request.seeds if "seed" in depends else (None,)
    return [
        Training(
            entry=entry,
            method=method,
            config=method.Config(),
            pair=pair,
            train=mix if "data" in depends else (),
            encoder=encoder,
            recipe=default_recipe(encoder),
            budget=request.budget if "budget" in depends else None,
            seed=seed,
        )
        for seed in seeds
    ]
