"""Computing a cell again from its manifest alone, training included, and what is the same then."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from bench.request import Reproduce, Request
from bench.results.store import Record, Store, find_cell
from bench.running.execute import Executor
from bench.running.materials import Materials
from bench.running.plan import Cell, Plan, Training
from bench.running.rows import make_row
from bench.tables import print_table
from bench.training.recipe import Recipe

COLUMNS = ["measure", "then", "now", "difference"]
UNTOLD = ("command", "finished")
"""What of a provenance can explain no difference."""
SHOWN = 12
"""Digits of a hash that are shown."""


@dataclass(frozen=True)
class Reproduction:
    """A cell as it was and as it is now: measure -> value, and whether the runs are the same."""

    then: Mapping[str, float]
    now: Mapping[str, float]
    same_run: bool
    changed_queries: int | None
    """How many queries have other documents, or in another order; None where the run of then is not at hand."""
    causes: list[str]
    """What differs between the two manifests that could be the reason, a line each."""

    @property
    def same(self) -> bool:
        """Whether every measure has the same value, to the last bit."""
        return all(self.now.get(name) == value for name, value in self.then.items())

    @property
    def findings(self) -> list[str]:
        """What there is to say in words."""
        if self.same_run:
            run = "the run is the same, to the last byte"
        elif self.changed_queries == 0:
            run = "the run has the same documents in the same order, and other scores"
        else:
            where = "" if self.changed_queries is None else f" for {self.changed_queries:,} queries"
            run = f"the run has other documents, or other scores{where}"
        lines = [f"{'the same' if self.same else 'NOT the same'} numbers; {run}"]
        if self.same and self.same_run:
            return lines
        if not self.same and not self.causes:
            lines.append("nothing that the manifests record differs; a budget in seconds, or the processor, may")
        return [*lines, *(f"differs: {cause}" for cause in self.causes)]

    @property
    def rows(self) -> list[list[str]]:
        """Of the table: a measure then and now."""
        rows = []
        for name, then in self.then.items():
            now = self.now.get(name)
            difference = "" if now is None or now == then else f"{now - then:+.2g}"
            rows.append([name, f"{then:.6f}", "-" if now is None else f"{now:.6f}", difference])
        return rows


def reproduce_cell(text: str, options: Reproduce) -> int:
    """Compute a cell once more and print what is the same; return the exit code: 0 if all of it is, else 3.

    Raises `BenchError` as `find_cell` and `reproduce`.
    """
    from bench.libraries import prepare_libraries

    cell, display = find_cell(text, options.results), Display(quiet=options.quiet)
    if cell.external:
        raise BenchError(f"{cell.folder.name} was imported, and how it was made is not known here")
    prepare_libraries(offline=options.offline, threads=int(cell.inputs["threads"]))
    cards = cards_of(cell, options.cards)
    resolver = Resolver(options.mirror or mirror_of(cell), offline=options.offline, display=display)
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as scratch:
        folder = options.keep or Path(scratch)
        found = reproduce(cell, cards, replace(resolver, derived=folder / "cache"), folder, display)
    print_table(COLUMNS, found.rows, right=COLUMNS[1:])
    print("\n".join(found.findings))
    return 0 if found.same else 3


def reproduce(
    cell: Record, cards: Mapping[str, Card], resolver: Resolver, folder: Path, display: Display
) -> Reproduction:
    """Train and evaluate once more in `folder`, where nothing of before is found, not even embeddings.

    Raises `BenchError` if the method, the encoder or the data cannot be had, and `CellFailed` if it fails.
    """
    spec, inputs = cell.spec, cell.inputs
    plan = plan_of(cell, cards, resolver)
    how = inputs["device"], inputs.get("precision", "float32")
    materials = Materials(spec.encoder, *how, cards, resolver, display, int(inputs["threads"]))
    request = Request(
        methods=(spec.method,),
        budget=spec.budget or "1steps",
        results=folder,
        mirror=resolver.mirror,
        leakage=spec.leakage,
    )
    outcome = Executor(materials, request, Store(folder).open()).run(plan)
    if outcome.bad_input:
        raise BenchError("what it was trained on cannot be had")
    if not outcome.cells:
        raise CellFailed("it failed this time; --keep FOLDER keeps the traceback")
    again = outcome.cells[0]
    return Reproduction(
        then=cell.means,
        now=again.means,
        same_run=again.manifest["run"] == cell.manifest["run"],
        changed_queries=_changed(cell.run, again.run) if cell.run.is_file() else None,
        causes=list(differences(cell, again)),
    )


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


def plan_of(cell: Record, cards: Mapping[str, Card], resolver: Resolver) -> Plan:
    """Return the plan of a cell alone. Raises `BenchError` if its method is not installed or lost a setting, and if its
    collection is missing.
    """
    spec = cell.spec
    row = make_row(
        "+".join(method.place or method.name for method in spec.methods),
        {method.name: dict(method.settings) for method in spec.methods},
    )
    spec = replace(spec, methods=row.methods)  # with the present places of their files
    again = Cell(spec, test_of(cell, cards, resolver), tuple(cell.means))
    recipe = read_config(Recipe, dict(spec.recipe.settings), "recipe")
    return Plan(spec.encoder, recipe, [row], {Training(spec.training, row): [again]})


def differences(then: Record, now: Record) -> Iterator[str]:
    """Iterate over a line for each input of two cells, and each fact about their making, that is not the same."""
    for what, one, other in (
        ("", then.inputs, now.inputs),
        ("trained on", then.trained["provenance"], now.trained["provenance"]),
        ("evaluated on", then.manifest["provenance"], now.manifest["provenance"]),
    ):
        before, after = dict(_flat(one)), dict(_flat(other))
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name) and name not in UNTOLD:
                yield f"{what} {name}: {_short(before.get(name))} -> {_short(after.get(name))}".strip()


def _changed(then: Path, now: Path) -> int:
    before, after = read_run(then), read_run(now)
    ids = {query: [key for key, _ in found] for query, found in before.items()}
    return sum(ids.get(query) != [key for key, _ in after.get(query, ())] for query in before.keys() | after.keys())


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a JSON value, by their paths."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name} {key}".strip())
    elif isinstance(value, list):
        for place, each in enumerate(value):
            label = each.get("name", place) if isinstance(each, Mapping) else place
            yield from _flat(each, f"{name} {label}".strip())
    else:
        yield name, value


def _short(value: Any) -> str:
    text = str(value)
    return text[:SHOWN] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
