"""What a cell answers, in plain values: all that is needed to plan it again, wherever its manifest may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.cards import Card, get_card, load_cards
from bench.data.files import Resolver
from bench.data.folders import with_folders
from bench.data.languages import parse_pair
from bench.data.levels import Level
from bench.data.loading import load_test
from bench.options import read_config
from bench.request import Request
from bench.running.plan import Cell, Plan, Training
from bench.running.rows import Part, Row, make_row
from bench.training.budget import Budget
from bench.training.recipe import Recipe


def specification(cell: Cell, request: Request, cards: Mapping[str, Card]) -> dict[str, Any]:
    """What a manifest keeps as `asked`: every setting with its value, every path absolute."""
    training, test = cell.training, cell.test
    dataset = next(name for name, card in cards.items() if card.name == test.name)
    return {
        "methods": [
            {"name": _name(part), "config": part.config.model_dump(mode="json")} for part in training.row.parts
        ],
        "pairs": [str(pair) for pair in training.pairs],
        "train": list(training.train),
        "leakage": "keep" if training.keep_leaks else "remove",
        "bitext_size": training.level.size,
        "bitext_noise": training.level.noise,
        "encoder": _path(training.encoder),
        "recipe": training.recipe.model_dump(mode="json"),
        "budget": None if training.budget is None else str(training.budget),
        "seed": training.seed,
        "dataset": test.name if dataset == test.name else _path(dataset),
        "pair": str(test.pair),
        "scoring": cell.scoring,
        "measures": list(cell.measures),
        "folders": [_path(name) for name in request.datasets if cards[name].name != name],
        "cards": request.cards and _path(request.cards),
        "mirror": request.mirror and _path(request.mirror),
    }


def asked_cards(asked: Mapping[str, Any], folder: Path | None = None) -> dict[str, Card]:
    """The cards that a cell was planned with, or those of another `folder` than it names, and of its call's folders in
    BEIR's or TREC's layout, which training data are cleaned of, too. Raises `BenchError` if a folder is not there.
    """
    cards = load_cards(folder or (Path(asked["cards"]) if asked["cards"] else None))
    return with_folders(cards, asked["folders"], [parse_pair(asked["pair"])])


def asked_mirror(asked: Mapping[str, Any] | None) -> Path | None:
    """The mirror that a cell was made with, if it is there."""
    mirror = Path(asked["mirror"]) if asked and asked["mirror"] else None
    return mirror if mirror and mirror.is_dir() else None


def asked_row(methods: list[dict[str, Any]]) -> Row:
    """The method, or the methods combined, with all their settings. Raises `BenchError` for one that nobody knows, and
    for settings that it no longer has.
    """
    settings = {method["name"].rpartition(":")[2]: method["config"] for method in methods}
    return make_row("+".join(method["name"] for method in methods), settings)


def asked_training(asked: Mapping[str, Any]) -> Training:
    """Raises `BenchError` as `asked_row`."""
    return Training(
        row=asked_row(asked["methods"]),
        pairs=tuple(map(parse_pair, asked["pairs"])),
        train=tuple(asked["train"]),
        keep_leaks=asked["leakage"] == "keep",
        level=Level(asked["bitext_size"], asked["bitext_noise"]),
        encoder=asked["encoder"],
        recipe=read_config(Recipe, asked["recipe"], "recipe"),
        budget=None if asked["budget"] is None else Budget.parse(asked["budget"]),
        seed=asked["seed"],
    )


def asked_plan(asked: Mapping[str, Any], cards: Mapping[str, Card], resolver: Resolver) -> Plan:
    """The plan of this cell alone. Raises `BenchError` as `asked_training`, and for a collection that cannot be had."""
    training = asked_training(asked)
    test = load_test(get_card(asked["dataset"], cards), parse_pair(asked["pair"]), resolver, cards)
    cell = Cell(training, test, asked["scoring"], tuple(asked["measures"]))
    return Plan(training.encoder, training.recipe, [training.row], {training: [cell]})


def _name(part: Part) -> str:
    """By which it is asked for: a method of a file by the file's path."""
    entry = part.entry
    return f"{entry.module}:{entry.attribute}" if entry.module.endswith(".py") else entry.name


def _path(text: str | Path) -> str:
    """The absolute path of a folder, and anything else as it is."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_dir() else str(text)
