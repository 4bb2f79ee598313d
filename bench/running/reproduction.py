"""Computing a cell again from its manifest alone, training included, and comparing the two results."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.cards import Card, get_card, load_cards
from bench.data.files import Resolver
from bench.data.folders import with_folders
from bench.data.sources import LazyTestCollection
from bench.errors import BenchError, CellFailed
from bench.evaluation.run import read_run
from bench.options import read_config
from bench.progress import Display
from bench.recipe import Recipe
from bench.request import Reproduce, Request
from bench.results.store import Record, Store, find_cell
from bench.running.execute import Executor
from bench.running.experiment import Cell, Experiment, Training
from bench.running.method_specs import resolve_method
from bench.running.resources import Resources
from bench.tables import print_table

COLUMNS = ["measure", "then", "now", "difference"]
WITHOUT_EFFECT = ("command", "finished")
"""Parts of a provenance that explain no difference."""
SHOWN = 12
"""Digits of a hash that are shown."""


def reproduce_cell(text: str, options: Reproduce) -> int:
    """Compute a cell once more and print a comparison; return the exit code: 0 if all measures are the same, else 3.

    Raises `BenchError` as `find_cell` and `reproduce`.
    """
    from bench.system.machine import prepare_libraries

    cell, display = find_cell(text, options.results), Display(quiet=options.quiet)
    if cell.external:
        raise BenchError(f"{cell.folder.name} was imported, so its manifest does not say how it was made")
    prepare_libraries(offline=options.offline, threads=int(cell.inputs["threads"]))
    cards = cards_of(cell, options.cards)
    resolver = Resolver(options.mirror or mirror_of(cell), offline=options.offline, display=display)
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as scratch:
        folder = options.keep or Path(scratch)
        again = reproduce(cell, cards, replace(resolver, derived=folder / "cache"), folder, display)
        run = compare_runs(cell, again)
    rows = []
    for name, then in cell.means.items():
        now = again.means.get(name)
        difference = "" if now is None or now == then else f"{now - then:+.2g}"
        rows.append([name, f"{then:.6f}", "-" if now is None else f"{now:.6f}", difference])
    print_table(COLUMNS, rows, right=COLUMNS[1:])
    same = all(again.means.get(name) == value for name, value in cell.means.items())
    print(f"{'the same' if same else 'NOT the same'} numbers; {run}")
    if not same or again.manifest["run"] != cell.manifest["run"]:
        causes = list(differences(cell, again))
        for cause in causes:
            print(f"differs: {cause}")
        if not same and not causes:
            print("the manifests show no difference; a budget in seconds or another processor may be the reason")
    return 0 if same else 3


def reproduce(cell: Record, cards: Mapping[str, Card], resolver: Resolver, folder: Path, display: Display) -> Record:
    """Train and evaluate once more in `folder`, which has no earlier results, and return the new cell.

    Raises `BenchError` if the method, the encoder or the data are missing, and `CellFailed` if the computation fails.
    """
    spec, inputs = cell.spec, cell.inputs
    experiment = experiment_of(cell, cards, resolver)
    how = inputs["device"], inputs.get("precision", "float32")
    resources = Resources(spec.encoder, *how, cards, resolver, display, int(inputs["threads"]))
    request = Request(
        methods=(spec.method,),
        budget=spec.budget or "1steps",
        results=folder,
        mirror=resolver.mirror,
        leakage=spec.leakage,
    )
    outcome = Executor(resources, request, Store(folder).open()).run(experiment)
    if outcome.bad_input:
        raise BenchError(
            "its training data or test collection cannot be read; name their place with --mirror or --cards"
        )
    if not outcome.cells:
        raise CellFailed("it failed this time; run it with --keep FOLDER to keep the traceback")
    return outcome.cells[0]


def cards_of(cell: Record, folder: Path | None = None) -> dict[str, Card]:
    """Return the cards of the call that made a cell, with its folders in BEIR's or TREC's layout. `folder` replaces the
    folder of cards in the manifest. Raises `BenchError` if a folder is missing.
    """
    known = _places(cell)
    cards = load_cards(folder or (Path(known["cards"]) if known.get("cards") else None))
    # Training data are cleaned of every collection in a folder.
    return with_folders(cards, known.get("folders", ()), [cell.spec.pair] if cell.spec.pair else [])


def mirror_of(cell: Record) -> Path | None:
    """Return the mirror that a cell was made with, if it is there."""
    known = _places(cell).get("mirror")
    return Path(known) if known and Path(known).is_dir() else None


def test_of(cell: Record, cards: Mapping[str, Card], resolver: Resolver) -> LazyTestCollection:
    """Return the test collection of a cell. Raises `BenchError` if no card has its name."""
    assert cell.spec.pair is not None
    card = get_card(_places(cell).get("dataset", cell.spec.dataset), cards)
    return LazyTestCollection(card, cell.spec.pair, resolver, cards)


def _places(cell: Record) -> Mapping[str, Any]:
    return cell.manifest.get("places", {})


def experiment_of(cell: Record, cards: Mapping[str, Card], resolver: Resolver) -> Experiment:
    """Return the experiment with this cell alone. Raises `BenchError` if its method is not installed or lost a setting,
    and if its collection is missing.
    """
    spec = cell.spec
    row = resolve_method(
        "+".join(method.place or method.name for method in spec.methods),
        {method.name: dict(method.settings) for method in spec.methods},
    )
    spec = replace(spec, methods=row.methods)  # with the present places of their files
    again = Cell(spec, test_of(cell, cards, resolver), tuple(cell.means))
    recipe = read_config(Recipe, dict(spec.recipe.settings), "recipe")
    return Experiment(spec.encoder, recipe, [row], {Training(spec.training, row): [again]})


def compare_runs(then: Record, now: Record) -> str:
    """Return a phrase about the difference of two runs."""
    if now.manifest["run"] == then.manifest["run"]:
        return "the run is the same, to the last byte"
    if not then.run.is_file():
        return "the run has other documents, or other scores"
    before, after = (
        {query: [key for key, _ in found] for query, found in read_run(each.run).items()} for each in (then, now)
    )
    changed = sum(before.get(query) != after.get(query) for query in before.keys() | after.keys())
    if not changed:
        return "the run has the same documents in the same order, and other scores"
    return f"the run has other documents, or another order of them, for {changed:,} queries"


def differences(then: Record, now: Record) -> Iterator[str]:
    """Iterate over a line for each input and each fact of the provenance that is not the same for two cells."""
    for what, one, other in (
        ("", then.inputs, now.inputs),
        ("trained on", then.trained["provenance"], now.trained["provenance"]),
        ("evaluated on", then.manifest["provenance"], now.manifest["provenance"]),
    ):
        before, after = dict(_flat(one)), dict(_flat(other))
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name) and name not in WITHOUT_EFFECT:
                yield f"{what} {name}: {_short(before.get(name))} -> {_short(after.get(name))}".strip()


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Iterate over the values of nested tables, with the keys on the way to each in one name."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((f"{key} {inner}", each) for inner, each in _flat(value))
        else:
            yield key, value


def _short(value: Any) -> str:
    text = str(value)
    return text[:SHOWN] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
