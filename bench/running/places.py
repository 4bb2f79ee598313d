"""The places of a cell's files. With its spec they are enough to plan the cell again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.cards import Card, get_card, load_cards
from bench.data.files import Resolver
from bench.data.folders import with_folders
from bench.data.sources import LazyTestCollection
from bench.options import read_config
from bench.request import Request
from bench.results.store import Record
from bench.running.plan import Cell, Plan, Training
from bench.running.rows import make_row
from bench.spec import RunSpec
from bench.training.recipe import Recipe


def places(cell: Cell, request: Request, cards: Mapping[str, Card]) -> dict[str, Any]:
    """Return what a manifest keeps as `places`; paths are absolute."""
    dataset = next(name for name, card in cards.items() if card.name == cell.test.name)
    return {
        "dataset": _absolute(dataset) if dataset != cell.test.name else dataset,
        "folders": [_absolute(name) for name in request.datasets if cards[name].name != name],
        "cards": request.cards and _absolute(request.cards),
        "mirror": request.mirror and _absolute(request.mirror),
    }


def cards_of(cell: Record, folder: Path | None = None) -> dict[str, Card]:
    """Return the cards that a cell was planned with, or those of another `folder` than it names, and of its call's
    folders in BEIR's or TREC's layout, which training data are cleaned of, too. Raises `BenchError` if a folder is not
    there.
    """
    known = cell.manifest.get("places", {})
    cards = load_cards(folder or (Path(known["cards"]) if known.get("cards") else None))
    pair = cell.spec.pair
    return with_folders(cards, known.get("folders", ()), [pair] if pair else [])


def mirror_of(cell: Record) -> Path | None:
    """Return the mirror that a cell was made with, if it is there."""
    known = cell.manifest.get("places", {}).get("mirror")
    return Path(known) if known and Path(known).is_dir() else None


def test_of(cell: Record, cards: Mapping[str, Card], resolver: Resolver) -> LazyTestCollection:
    """Return the test collection of a cell. Raises `BenchError` for one that is not known."""
    name = cell.manifest.get("places", {}).get("dataset", cell.spec.dataset)
    assert cell.spec.pair is not None
    return LazyTestCollection(get_card(name, cards), cell.spec.pair, resolver, cards)


def plan_of(cell: Record, measures: tuple[str, ...], cards: Mapping[str, Card], resolver: Resolver) -> Plan:
    """Return the plan of a cell alone. Raises `BenchError` for a method that is not installed, for settings that it no
    longer has, and for a collection that cannot be had.
    """
    spec = cell.spec
    row = make_row(
        "+".join(method.place or method.name for method in spec.methods),
        {method.name: dict(method.settings) for method in spec.methods},
    )
    training = Training(_known(spec.training, row.methods), row)
    recipe = read_config(Recipe, dict(spec.recipe.settings), "recipe")
    again = Cell(_known(spec, row.methods), test_of(cell, cards, resolver), measures)
    return Plan(spec.encoder, recipe, [row], {training: [again]})


def _known(spec: RunSpec, methods: tuple[Any, ...]) -> RunSpec:
    """Return the spec; its methods are as they are known now, which is where their files are."""
    from dataclasses import replace

    return replace(spec, methods=methods)


def _absolute(text: str | Path) -> str:
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_dir() else str(text)
