"""The computation of a suite: values and scores of each seed."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

from bench.data import conlang
from bench.data.cards import Card, load_cards
from bench.data.files import Resolver
from bench.errors import CellFailed, Interrupted
from bench.evaluation.alignment import alignment_f1
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.evaluation.run_files import read_run
from bench.progress import Display
from bench.request import Computing, Request, Suite, check
from bench.results.store import LOG, RETRIEVER, Record, Store, training_of
from bench.running.execute import Executor
from bench.running.experiment import make_experiment
from bench.running.method_specs import load_retriever
from bench.running.resources import Resources
from bench.storage.sealed import cache_problems
from bench.system.machine import prepare_libraries
from bench.system.processes import in_processes

LAST = 0.25
"""Share of the last steps of a training over which its log is averaged."""
ALIGNED_ROWS = 200
NOT_FIGURES = {"step", "share", "learning_rate", "tokens", "examples", "seconds", "cpu_seconds"}

Key = tuple[str, str]
"""A cell or training, and the name of one of its values."""


@dataclass(frozen=True)
class Found:
    """The values of one seed, and the score of each query for values that are means over queries."""

    values: Mapping[Key, float]
    scores: Mapping[Key, Mapping[str, float]]


@dataclass(frozen=True)
class Work:
    """The places of data and results."""

    cards: Mapping[str, Card]
    resolver: Resolver
    folder: Path
    """The results folder."""
    display: Display


@contextmanager
def working(computing: Computing, name: str) -> Iterator[Work]:
    """Yield the places of data and results. Without `--keep` the results folder is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as scratch:
        folder = computing.keep or Path(scratch)
        resolver = Resolver(computing.mirror, offline=True, derived=folder / "cache")
        try:
            work = Work(load_cards(computing.cards), resolver, folder, Display(quiet=computing.quiet))
            work.display.warn(*cache_problems())
            yield work
        except KeyboardInterrupt:
            if computing.keep is not None:
                raise
            raise Interrupted("interrupted; results are deleted without --keep FOLDER") from None


def compute_seeds(suite: Suite, seeds: Sequence[int], work: Work, jobs: int | None) -> list[Found]:
    """Return the results of each seed, in order. Raises `BenchError` for bad input, `CellFailed` if a cell fails."""
    return in_processes(partial(compute, suite, work), seeds, jobs)


def compute(suite: Suite, work: Work, seed: int) -> Found:
    """Return the results of one seed. Raises as `compute_seeds`."""
    prepare_libraries(offline=True, threads=1)
    display = work.display.about(f"seed {seed}")
    options = {name: value for name, value in suite if name in Request.model_fields}
    options |= {"encoder": suite.encoder.format(seed=seed), "seeds": (seed,), "results": work.folder, "offline": True}
    request = Request(**options, device="cpu", precision="float32", threads=1)
    check(request, work.cards)
    experiment = make_experiment(request, work.cards, work.resolver)
    resources = Resources(experiment.encoder, "cpu", "float32", work.cards, work.resolver, display, threads=1)
    outcome = Executor(resources, request, Store(work.folder).open()).run(experiment)
    if outcome.failed:
        raise CellFailed(f"{outcome.failed} cells of seed {seed} failed; use --keep FOLDER to store their tracebacks")
    values: dict[Key, float] = {}
    scores: dict[Key, Mapping[str, float]] = {}
    trainings: dict[str, Record] = {}
    for cell in outcome.cells:
        name = f"{cell.spec.name} {cell.spec.dataset} {cell.spec.pair}"
        scores |= {(name, measure): by_query for measure, by_query in cell.scores.items()}
        values |= {(name, measure): mean(by_query.values()) for measure, by_query in cell.scores.items()}
        values |= {(name, f"counts.{part}"): float(count) for part, count in counts(cell).items()}
        if training := training_of(cell):
            trainings[training.folder.name] = training
    for _, training in sorted(trainings.items()):
        training.verify()
        retriever = load_retriever(training.spec.methods, training.folder / RETRIEVER, resources.teacher)
        values |= training_values(training, retriever)
    return Found(values, scores)


def counts(cell: Record) -> dict[str, int]:
    run = read_run(cell.run)
    counts = {name: cell.manifest[name] for name in ("queries", "documents", "unnormalised")}
    counts |= {"answered": len(run), "retrieved": sum(map(len, run.values()))}
    counts["judged"] = len(next(iter(cell.scores.values())))
    return {name: count for name, count in counts.items() if count is not None}  # None if no vectors are searched


def training_values(training: Record, retriever: Retriever) -> dict[Key, float]:
    """Return diagnostics, the end of the log, the word alignment and changes of the teacher of a training."""
    manifest, (pair, *_) = training.manifest, training.spec.pairs
    name = f"{training.spec.name} training {training.spec.columns['pair']}"
    values = {f"diagnostics.{key}": float(value) for key, value in manifest["diagnostics"].items()}
    values |= {f"teacher.{key}": float(value) for key, value in manifest["teacher"].items()}
    values |= {f"log.{key}": value for key, value in log_figures(training.folder / LOG).items()}
    if pair.query in conlang.LANGUAGES and isinstance(retriever, DualEncoder):
        rows = conlang.aligned_bitext(pair.query)[:ALIGNED_ROWS]
        values["alignment.f1"] = alignment_f1(retriever.document_encoder, retriever.query_encoder, rows)
    return {(name, key): value for key, value in values.items()}


def log_figures(path: Path) -> dict[str, float]:
    """Return the means of the figures of a log over its last steps; empty without a log."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    last = records[-max(round(LAST * len(records)), 1) :]
    names = dict.fromkeys(name for record in last for name in record if name not in NOT_FIGURES)
    return {name: mean(record[name] for record in last if name in record) for name in names}
