"""The reproduction of a cell from its manifest, training included, and the comparison of both results."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.cards import Card, get_card, load_cards
from bench.data.files import Resolver
from bench.data.own import with_own
from bench.data.sources import LazyTestCollection
from bench.errors import BenchError, CellFailed
from bench.options import read_config
from bench.progress import Display
from bench.recipe import Recipe
from bench.request import Mirror, Reproduce, Request
from bench.results.store import Record, Store, find_cell
from bench.running.execute import Executor
from bench.running.experiment import Experiment, Training
from bench.running.method_specs import resolve_method
from bench.running.resources import Resources
from bench.spec import joined_names
from bench.storage.sealed import cache_problems
from bench.system.machine import find_devices, prepare_libraries
from bench.tables import print_table
from bench.terminal import write_out

COLUMNS = ["measure", "then", "now", "difference"]
WITHOUT_EFFECT = ("command", "finished")
"""Parts of a provenance that cannot explain a difference."""


def reproduce_cell(options: Reproduce) -> int:
    """Compute a cell again and print a comparison. Return the exit code: 0 for equal measures, or else 3.

    Raises `BenchError` as `find_cell` and `reproduce`.
    """
    cell, display = find_cell(options.cell, options.results), Display(quiet=options.quiet)
    if cell.external:
        raise BenchError(f"{cell.folder.name} was imported, so its manifest has no settings")
    display.warn(*cache_problems())
    prepare_libraries(offline=options.offline, threads=int(cell.inputs["threads"]))
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as scratch:
        folder = options.keep or Path(scratch)
        cards, resolver = data_places(cell, options)
        resolver = replace(resolver, offline=options.offline, display=display, derived=folder / "cache")
        again = reproduce(cell, cards, resolver, folder, display)
    both = [(name, then, again.means[name]) for name, then in cell.means.items()]
    rows = [[name, f"{a:.6f}", f"{b:.6f}", "" if a == b else f"{b - a:+.2g}"] for name, a, b in both]
    print_table(COLUMNS, rows, right=COLUMNS[1:])
    same, same_run = again.means == cell.means, again.manifest["run"] == cell.manifest["run"]
    run = "the run is the same, to the last byte" if same_run else "the run has other documents or scores"
    write_out(f"{'the same' if same else 'NOT the same'} numbers; {run}")
    if not (same and same_run):
        unexplained = "the manifests do not differ; another processor or a budget in seconds may be the reason"
        write_out("\n".join(f"differs: {cause}" for cause in differences(cell, again)) or unexplained)
    return 0 if same else 3


def reproduce(cell: Record, cards: Mapping[str, Card], resolver: Resolver, folder: Path, display: Display) -> Record:
    """Train and evaluate again in an empty folder, and return the new cell.

    Raises `BenchError` for a missing method, setting, encoder or collection, and `CellFailed` if the computation fails.
    """
    spec, inputs = cell.spec, cell.inputs
    row = resolve_method(
        joined_names(replace(method, name=method.place or method.name) for method in spec.methods),
        {method.name: dict(method.settings) for method in spec.methods},
    )
    spec = replace(spec, methods=row.methods)  # with the current places of their files
    recipe = read_config(Recipe, dict(spec.recipe.settings), "recipe")
    experiment = Experiment(spec.encoder, recipe, [row])
    test = test_of(cell, cards, resolver)
    experiment.add_cell(Training(spec.training, row), test, spec.scoring, tuple(cell.means), spec.index)
    (device,), number_format = find_devices([inputs["device"]]), inputs.get("precision", "float32")
    resources = Resources(spec.encoder, device, number_format, cards, resolver, display, int(inputs["threads"]))
    places = {"results": folder, "mirror": resolver.mirror}
    request = Request(methods=(spec.method,), budget=spec.budget or "1steps", leakage=spec.leakage, **places)
    outcome = Executor(resources, request, Store(folder).open()).run(experiment)
    if outcome.bad_input:
        raise BenchError(
            "its training data or test collection cannot be read; give their place with --mirror or --cards"
        )
    if outcome.failed:
        raise CellFailed("it failed this time; use --keep FOLDER to store the traceback")
    return outcome.cells[-1]  # after its parts, if it is a fusion


def data_places(cell: Record, options: Mirror) -> tuple[dict[str, Card], Resolver]:
    """Return the cards and the mirror of the options, or else of the call that made the cell.

    Raises `BenchError` if one is missing.
    """
    known = cell.manifest.get("places", {})
    stored = {name: Path(known[name]) for name in ("cards", "mirror") if known.get(name)}
    mirror = stored.get("mirror")
    cards = load_cards(options.cards or stored.get("cards"))
    # Training data are cleaned of every collection in a folder. Older manifests have the folders alone.
    cards, _ = with_own(cards, known.get("folders", ()), (), [cell.spec.pair] if cell.spec.pair else [])
    cards |= {card["name"]: read_config(Card, card, f"{cell.folder}: places.own") for card in known.get("own", ())}
    return cards, Resolver(options.mirror or (mirror if mirror and mirror.is_dir() else None), offline=True)


def test_of(cell: Record, cards: Mapping[str, Card], resolver: Resolver) -> LazyTestCollection:
    """Return the test collection of a cell. Raises `BenchError` if no card has its name."""
    assert cell.spec.pair is not None
    return LazyTestCollection(get_card(cell.spec.dataset, cards), cell.spec.pair, resolver, cards)


def differences(then: Record, now: Record) -> Iterator[str]:
    """Yield a line for each input and each fact of the provenance that differs between two cells."""
    for what, one, other in (
        ("", then.inputs, now.inputs),
        ("trained on ", then.trained.get("provenance", {}), now.trained.get("provenance", {})),
        ("evaluated on ", then.manifest["provenance"], now.manifest["provenance"]),
    ):
        before, after = (dict(_flat(table)) for table in (one, other))
        for name in before | after:
            if before.get(name) != after.get(name) and name not in WITHOUT_EFFECT:
                yield f"{what}{name}: {before.get(name)!s:.40} -> {after.get(name)!s:.40}"


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        yield from ((f"{name} {key}", each) for key, each in value.items()) if name == "libraries" else [(name, value)]
