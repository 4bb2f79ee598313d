"""Computing a suite: what one seed of it gives, in cells and in trainings."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean

from bench import conlang
from bench.data.cards import Card, load_cards
from bench.data.files import Resolver
from bench.errors import CellFailed, Interrupted
from bench.evaluation.alignment import alignment_f1
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.evaluation.run import read_run
from bench.libraries import prepare_libraries
from bench.processes import in_processes
from bench.progress import Display
from bench.request import Computing, Request, Suite, check
from bench.results.store import LOG, RETRIEVER, Record, Store, training_of
from bench.running.execute import Executor
from bench.running.materials import Materials
from bench.running.plan import Plan, make_plan
from bench.running.rows import load_retriever
from bench.spec import RunSpec

LAST = 0.25
"""The share of a training's steps whose log its figures are the means of."""
ALIGNED_ROWS = 200
NOT_FIGURES = {"step", "share", "learning_rate", "tokens", "seconds", "cpu_seconds"}
QUERIES = "coverage.queries"

Key = tuple[str, str]
"""The cell or training, and the name of one of its values."""


@dataclass(frozen=True)
class Found:
    """What one seed gave: all its values, and the scores of each query, by measure, that some are the means of."""

    values: Mapping[Key, float]
    scores: Mapping[Key, Mapping[str, float]]


@dataclass(frozen=True)
class Work:
    """Where and from what a suite is computed."""

    cards: Mapping[str, Card]
    resolver: Resolver
    folder: Path
    """Of the results; finished cells that are there already are not computed again."""
    display: Display

    def request(self, suite: Suite, seed: int) -> Request:
        """A seed of a suite as a comparison, with everything fixed that could make a difference."""
        return Request(
            methods=suite.methods,
            datasets=suite.datasets,
            pairs=suite.pairs,
            encoder=suite.encoder.format(seed=seed),
            budget=suite.budget,
            seeds=(seed,),
            measures=suite.measures,
            device="cpu",
            precision="float32",
            threads=1,
            results=self.folder,
            offline=True,
        )

    def plan(self, suite: Suite, seed: int) -> Plan:
        """Raises `BenchError` for names that nobody knows and for collections that are not at hand."""
        request = self.request(suite, seed)
        check(request, self.cards)
        return make_plan(request, self.cards, self.resolver)


@contextmanager
def working(computing: Computing, name: str) -> Iterator[Work]:
    """Where the gate computes: the folder to keep, or one that is gone when the block ends."""
    display = Display(quiet=computing.quiet)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as scratch:
        folder = computing.keep or Path(scratch)
        resolver = Resolver(computing.mirror, offline=True, derived=folder / "cache")
        try:
            yield Work(load_cards(computing.cards), resolver, folder, display)
        except KeyboardInterrupt:
            if computing.keep is not None:
                raise
            raise Interrupted("interrupted; nothing is kept without --keep FOLDER") from None


def compute_seeds(suite: Suite, seeds: Sequence[int], work: Work, jobs: int) -> list[Found]:
    """What each seed gives, in their order, `jobs` of them at a time, each in a process of its own with one thread.

    Raises `CellFailed` if a cell fails.
    """
    alone = min(jobs, len(seeds)) <= 1
    items = [(seed, work if alone else replace(work, display=work.display.about(f"seed {seed}"))) for seed in seeds]
    return in_processes(partial(_compute_seed, suite), items, jobs)


def _compute_seed(suite: Suite, item: tuple[int, Work]) -> Found:
    prepare_libraries(offline=True, threads=1)
    return compute(suite, *item)


def compute(suite: Suite, seed: int, work: Work) -> Found:
    """What one seed gives. Raises `CellFailed` if a cell fails."""
    plan = work.plan(suite, seed)
    request = work.request(suite, seed)
    store = Store(work.folder).open()
    materials = Materials(
        plan.encoder, request.device, request.precision, work.cards, work.resolver, work.display, threads=1
    )
    outcome = Executor(materials, request, store).run(plan)
    if outcome.failed:
        raise CellFailed(f"{outcome.failed} cells of seed {seed} failed; --keep FOLDER keeps their tracebacks")
    values: dict[Key, float] = {}
    scores: dict[Key, Mapping[str, float]] = {}
    trainings: dict[str, Record] = {}
    for cell in outcome.cells:
        scores |= {(cell_name(cell.spec), measure): queries for measure, queries in cell.scores.items()}
        values |= cell_values(cell)
        if training := training_of(cell):
            trainings[training.folder.name] = training
    for _, training in sorted(trainings.items()):
        training.verify()
        retriever = load_retriever(training.spec.methods, training.folder / RETRIEVER, materials.teacher)
        values |= training_values(training, retriever)
    return Found(values, scores)


def planned(plan: Plan) -> dict[Key, float | None]:
    """What is known of a suite before it is computed: its measures, and how many queries each cell has."""
    known: dict[Key, float | None] = {}
    for cell in (cell for cells in plan.cells.values() for cell in cells):
        name = cell_name(cell.spec)
        known |= {(name, measure): None for measure in cell.measures}
        known[name, QUERIES] = float(cell.test.summary.queries)
    return known


def cell_name(spec: RunSpec) -> str:
    """Return the name of a cell in a baseline."""
    return f"{spec.name} {spec.dataset} {spec.pair}"


def cell_values(cell: Record) -> dict[Key, float]:
    """The measures and the coverage of a cell."""
    manifest, scores = cell.manifest, cell.scores
    name = cell_name(cell.spec)
    run = read_run(cell.run)
    coverage = {
        "queries": manifest["queries"],
        "documents": manifest["documents"],
        "answered": len(run),
        "retrieved": sum(map(len, run.values())),
        "judged": len(next(iter(scores.values()))),
    }
    if manifest["unnormalised"] is not None:  # as it is where no vectors are searched
        coverage["unnormalised"] = manifest["unnormalised"]
    return {
        **{(name, measure): mean(values.values()) for measure, values in scores.items()},
        **{(name, f"coverage.{part}"): float(count) for part, count in coverage.items()},
    }


def training_values(training: Record, retriever: Retriever) -> dict[Key, float]:
    """The diagnostics of a training, the end of its log, its word alignment, and what it did to its teacher."""
    manifest, (pair, *_) = training.manifest, training.spec.pairs
    name = f"{training.spec.name} training {training.spec.columns['pair']}"
    values = {f"diagnostics.{key}": float(value) for key, value in manifest["diagnostics"].items()}
    values |= {f"teacher.{key}": float(value) for key, value in manifest["teacher"].items()}
    values |= {f"log.{key}": value for key, value in log_figures(training.folder / LOG).items()}
    language = pair.query
    if language in conlang.LANGUAGES and isinstance(retriever, DualEncoder):
        rows = conlang.aligned_bitext(language)[:ALIGNED_ROWS]
        values["alignment.f1"] = alignment_f1(retriever.document_encoder, retriever.query_encoder, rows)
    return {(name, key): value for key, value in values.items()}


def log_figures(path: Path) -> dict[str, float]:
    """The means of a training log's figures over its last steps; empty where nothing was trained."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    last = records[-max(round(LAST * len(records)), 1) :]
    names = [name for name in (last[0] if last else {}) if name not in NOT_FIGURES]
    return {name: mean(record[name] for record in last) for name in names}
