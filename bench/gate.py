"""The regression gate: what the embedded suite gives, written down once, and a check that it still does.

A baseline holds values of every cell (measures and coverage) and of every training (the method's diagnostics, the
end of its training log, how well the student aligns words, whether the teacher stayed as it was), each over several
seeds. A seed makes its own teacher too, so that the spread over seeds is also that of another machine, where sums are
rounded otherwise and a training takes another course.

A check computes a few of those seeds again and compares their means. Its tolerance is that of a two-sided test between
two means of so many values each, with the spread of the baseline's seeds s and their number S:

    t(1 - alpha / (2 m), S - 1) * s * sqrt(2 / checked)

with alpha = 0.01 for all m values of the baseline together (Bonferroni). On the machine and with the libraries that
made the baseline nothing moves at all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student_t

from bench import conlang, registry
from bench.atomic import atomic_write
from bench.data import Pair
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.errors import BenchError, CellFailed, unknown
from bench.evaluation.alignment import alignment_f1
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.evaluation.run import read_run
from bench.progress import Display
from bench.request import Request, Suite
from bench.results.provenance import provenance
from bench.results.store import LOG, Entry, Store
from bench.running.execute import Executor
from bench.running.materials import Materials
from bench.running.plan import make_plan

ALPHA = 0.01
RESOLUTION = 0.01
"""The least tolerance of a diagnostic, as a share of its value; that of a measure is one query's worth."""
LAST = 0.25
"""The share of a training's steps whose log its figures are the means of."""
ALIGNED_ROWS = 200
NOT_FIGURES = {"step", "share", "learning_rate", "tokens", "seconds", "cpu_seconds"}

Key = tuple[str, str]
"""The cell or training, and the name of one of its values."""


@dataclass(frozen=True)
class Value:
    """One value of a baseline: over its seeds, over those that a check computes again, and how far it may move."""

    cell: str
    name: str
    checked: float
    tolerance: float
    mean: float
    spread: float
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Baseline:
    """The values of a suite, and what they were made by."""

    suite: Suite
    values: tuple[Value, ...]
    made_by: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Keep it as JSON, a line for each value, so that a change of the file shows which moved."""
        suite, made_by = json.dumps(self.suite.model_dump(mode="json")), json.dumps(self.made_by)
        values = ",\n".join(json.dumps(asdict(value)) for value in self.values)
        with atomic_write(path) as file:
            file.write(f'{{"suite": {suite},\n"made_by": {made_by},\n"values": [\n{values}\n]}}\n')

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Raises `BenchError` if it is not there or malformed."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            values = tuple(Value(**{**value, "seeds": tuple(value["seeds"])}) for value in content["values"])
            return cls(Suite.model_validate(content["suite"]), values, content["made_by"])
        except OSError as error:
            raise BenchError(f"the baseline {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{path} is no baseline; bench baseline writes one") from error

    def of(self, methods: Sequence[str]) -> Baseline:
        """The part about some methods and the reference rows. Raises `BenchError` for a method that it lacks."""
        names = {registry.row_name(text): text for text in self.suite.methods}
        for name in methods:
            if name not in names:
                raise unknown("method in the baseline:", name, names)
        kept = {*methods, *registry.references()}
        values = tuple(value for value in self.values if value.cell.split(" ")[0] in kept)
        suite = self.suite.model_copy(update={"methods": tuple(names[name] for name in methods)})
        return Baseline(suite, values, self.made_by)


@dataclass(frozen=True)
class Change:
    """A value that is not where the baseline has it; `now` is None for one that is missing, `value` for a new one."""

    key: Key
    value: Value | None
    now: float | None

    @property
    def row(self) -> list[str]:
        """Its row in the table of what moved."""
        if self.value is None:
            return [*self.key, "-", _figure(self.now), "-", "-", "new"]
        before = [_figure(self.value.checked)]
        if self.now is None:
            return [*self.key, *before, "-", "-", _figure(self.value.tolerance), "missing"]
        difference = self.now - self.value.checked
        verdict = "higher" if difference > 0 else "lower" if difference < 0 else "not a number"
        return [*self.key, *before, _figure(self.now), f"{difference:+.4g}", _figure(self.value.tolerance), verdict]


COLUMNS = ["cell", "value", "baseline", "now", "difference", "tolerance", ""]


def make_baseline(suite: Suite, cards: Mapping[str, Card], folder: Path, display: Display) -> Baseline:
    """Compute the suite with all its seeds. Raises `CellFailed` if a cell fails."""
    by_seed = [compute(suite, seed, cards, folder, display) for seed in suite.seeds]
    keys = list(dict.fromkeys(key for found in by_seed for key in found))
    if incomplete := [key for key in keys if any(key not in found for found in by_seed)]:
        raise CellFailed(f"{' '.join(incomplete[0])} is not there for every seed, so there is no baseline")
    family = sum(not is_exact(name) for _, name in keys)
    values = []
    for cell, name in keys:
        seeds = tuple(found[cell, name] for found in by_seed)
        checked = mean(seeds[: suite.checked])
        queries = by_seed[0].get((cell, "coverage.queries"))
        least = RESOLUTION * abs(checked) if queries is None else 1 / queries
        limit = 0.0 if is_exact(name) else max(tolerance(seeds, suite.checked, family), least)
        values.append(Value(cell, name, checked, limit, mean(seeds), stdev(seeds), seeds))
    about = provenance()
    return Baseline(suite, tuple(values), {name: about[name] for name in ("bench", "commit", "libraries", "platform")})


def is_exact(name: str) -> bool:
    """Whether a value depends on no seed, so that it may not move at all: counts, and what must not be touched."""
    return name.startswith(("coverage.", "teacher."))


def tolerance(seeds: Sequence[float], checked: int, family: int) -> float:
    """How far the mean of `checked` seeds may be from the baseline's mean of the same, when `family` values are looked
    at; `seeds` are the baseline's values.
    """
    quantile = float(student_t.ppf(1 - ALPHA / (2 * family), len(seeds) - 1))
    return quantile * stdev(seeds) * math.sqrt(2 / checked)


def compare(baseline: Baseline, now: Sequence[Mapping[Key, float]]) -> list[Change]:
    """What moved, is missing or is new, given the values of each seed that was computed again."""
    known = {(value.cell, value.name): value for value in baseline.values}
    changes = []
    for key, value in known.items():
        if not all(key in found for found in now):
            changes.append(Change(key, value, None))
        elif not abs((current := mean(found[key] for found in now)) - value.checked) <= value.tolerance:
            changes.append(Change(key, value, current))
    new = dict.fromkeys(key for found in now for key in found if key not in known)
    return changes + [Change(key, None, mean(found[key] for found in now if key in found)) for key in new]


def compute(suite: Suite, seed: int, cards: Mapping[str, Card], folder: Path, display: Display) -> dict[Key, float]:
    """All values of the suite for one seed. Raises `CellFailed` if a cell fails."""
    request = Request(
        methods=suite.methods,
        pairs=suite.pairs,
        encoder=suite.encoder.format(seed=seed),
        budget=suite.budget,
        seeds=(seed,),
        measures=suite.measures,
        device="cpu",
        precision="float32",
        threads=1,
        results=folder,
        offline=True,
    )
    resolver = Resolver(offline=True)
    plan = make_plan(request, cards, resolver)
    store = Store(folder).open()
    materials = Materials(plan.encoder, request.device, request.precision, cards, resolver, display)
    outcome = Executor(materials, request, store, display, cache=folder / "cache").run(plan)
    if outcome.failed:
        raise CellFailed(
            f"{outcome.failed} cells of seed {seed} failed; bench check --keep FOLDER keeps their tracebacks"
        )
    trainings = {store.root / "trainings" / entry.manifest["training"] for entry in outcome.cells}
    rows = {row.name: row for row in plan.rows}
    values: dict[Key, float] = {}
    for entry in outcome.cells:
        values |= cell_values(entry)
    for training in map(Entry, sorted(trainings)):
        retriever = rows[training.manifest["method"]].load(training.folder / "retriever", materials.teacher)
        values |= training_values(training, retriever)
    return values


def cell_values(entry: Entry) -> dict[Key, float]:
    """The measures and the coverage of a cell."""
    manifest, scores = entry.manifest, entry.read_scores()
    name = " ".join(filter(None, (manifest["method"], manifest["config"], manifest["dataset"], manifest["pair"])))
    run = read_run(entry.folder / "run.trec.gz")
    coverage = {
        "queries": manifest["queries"],
        "documents": manifest["documents"],
        "answered": len(run),
        "retrieved": sum(map(len, run.values())),
        "judged": len(next(iter(scores.values()))),
    }
    return {
        **{(name, measure): mean(values.values()) for measure, values in scores.items()},
        **{(name, f"coverage.{part}"): float(count) for part, count in coverage.items()},
    }


def training_values(entry: Entry, retriever: Retriever) -> dict[Key, float]:
    """The diagnostics of a training, the end of its log, its word alignment, and what it did to its teacher."""
    manifest = entry.manifest
    name = " ".join(filter(None, (manifest["method"], manifest["config"], "training", manifest["pair"])))
    values = {f"diagnostics.{key}": float(value) for key, value in manifest["diagnostics"].items()}
    values |= {f"teacher.{key}": float(value) for key, value in manifest["teacher"].items()}
    values |= {f"log.{key}": value for key, value in log_figures(entry.folder / LOG).items()}
    language = Pair(*manifest["pair"].split("-")).query
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


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
