"""The file of a baseline: the values and scores of a suite, and how far each value may move."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pydantic import TypeAdapter, ValidationError
from scipy.stats import t as student_t

from bench import registry
from bench.errors import BenchError, CellFailed, unknown
from bench.gate.compute import Found, Key
from bench.request import Suite
from bench.results.provenance import provenance
from bench.storage.atomic import atomic_write

ALPHA = 0.01
LEAST_SEEDS = 5
RESOLUTION = 0.01
"""The least tolerance of a diagnostic, as a share of its value; that of a measure over n queries is 1 / n."""


@dataclass(frozen=True)
class Value:
    """One value of a cell or training: its mean over the seeds that a check computes again, and its tolerance."""

    cell: str
    name: str
    checked: float
    tolerance: float
    mean: float
    spread: float
    seeds: tuple[float, ...]

    @property
    def key(self) -> Key:
        return self.cell, self.name


@dataclass(frozen=True)
class Scores:
    """The scores of a cell by one measure, by query id."""

    cell: str
    name: str
    queries: Mapping[str, float]

    @property
    def key(self) -> Key:
        return self.cell, self.name

    @property
    def mean(self) -> float:
        return mean(self.queries.values())


@dataclass(frozen=True)
class Baseline:
    """The results of a suite, and the software that made them.

    A baseline of several seeds has no `scores`. In a baseline of one seed, `values` may not move at all.
    """

    suite: Suite
    values: tuple[Value, ...]
    made_by: Mapping[str, Any]
    scores: tuple[Scores, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    """The `reason` of each replacement with its `date` and `commit`, oldest first."""

    def write(self, path: Path) -> None:
        """Write JSON with a line for each value, so that a diff shows what changed."""
        lists = {"history": self.history, "values": map(asdict, self.values), "scores": map(asdict, self.scores)}
        parts = {"suite": json.dumps(self.suite.model_dump(mode="json")), "made_by": json.dumps(self.made_by)}
        for name, items in lists.items():
            if lines := ",\n".join(map(json.dumps, items)):
                parts[name] = f"[\n{lines}\n]"
        with atomic_write(path) as file:
            file.write("{" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "}\n")

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read what `write` wrote. Raises `BenchError` if the file is missing or malformed."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except OSError as error:
            raise BenchError(f"the baseline {path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise BenchError(f"{path} is no baseline; bench baseline writes one, under another name") from error

    @property
    def keys(self) -> list[Key]:
        """The keys of all values and scores."""
        return [*(value.key for value in self.values), *(scores.key for scores in self.scores)]

    def of(self, methods: Sequence[str]) -> Baseline:
        """Return the part of some methods and the reference rows. Raises `BenchError` for a method that it lacks."""
        names = {registry.row_name(text): text for text in self.suite.methods}
        for name in methods:
            if name not in names:
                raise unknown("method in the baseline:", name, names)
        kept = {*methods, *registry.references()}
        return replace(
            self,
            suite=self.suite.model_copy(update={"methods": tuple(names[name] for name in methods)}),
            values=tuple(value for value in self.values if value.cell.split(" ")[0] in kept),
            scores=tuple(scores for scores in self.scores if scores.cell.split(" ")[0] in kept),
        )


def fit_for_a_baseline(suite: Suite) -> Suite:
    """Return the suite, with `checked` set to 1 if it has one seed. Raises `BenchError` if it has too few seeds."""
    if suite.by_query:
        return suite.model_copy(update={"checked": 1})
    if suite.checked > len(suite.seeds) or len(suite.seeds) < LEAST_SEEDS:
        raise BenchError(
            f"a baseline needs at least {LEAST_SEEDS} seeds, and as many as a check computes again; or one seed, to be "
            "compared query by query"
        )
    return suite


def make_baseline(suite: Suite, found: Sequence[Found]) -> Baseline:
    """Return the baseline of a suite from the results of its seeds. Raises `CellFailed` if a seed lacks a value."""
    keys = list(dict.fromkeys(key for one in found for key in one.values))
    if incomplete := [key for key in keys if any(key not in one.values for one in found)]:
        raise CellFailed(f"{' '.join(incomplete[0])} is not there for every seed, so there is no baseline")
    about = provenance()
    made_by = {name: about[name] for name in ("bench", "commit", "libraries", "platform")}
    family = sum(not is_exact(name) for _, name in keys)
    stored = [key for key in keys if is_exact(key[1])] if suite.by_query else keys
    scores = tuple(Scores(*key, queries) for key, queries in found[0].scores.items()) if suite.by_query else ()
    return Baseline(suite, tuple(_value(key, found, suite.checked, family) for key in stored), made_by, scores)


def _value(key: Key, found: Sequence[Found], checked: int, family: int) -> Value:
    cell, name = key
    seeds = tuple(one.values[key] for one in found)
    now = mean(seeds[:checked])
    limit = 0.0
    if not is_exact(name):
        queries = found[0].values.get((cell, "counts.queries"))  # a training has none
        least = RESOLUTION * abs(now) if queries is None else 1 / queries
        limit = max(tolerance(seeds, checked, family), least)
    return Value(cell, name, now, limit, mean(seeds), stdev(seeds) if len(seeds) > 1 else 0.0, seeds)


def is_exact(name: str) -> bool:
    """Return True for a value that may not move at all: counts, and what a training did to its teacher."""
    return name.startswith(("counts.", "teacher."))


def tolerance(seeds: Sequence[float], checked: int, family: int) -> float:
    """Return how far a mean over `checked` seeds may move, by the formula of `bench.gate`.

    `seeds` are the values of the baseline and `family` is the number of values that are tested together.
    """
    quantile = float(student_t.ppf(1 - ALPHA / (2 * family), len(seeds) - 1))
    return quantile * stdev(seeds) * math.sqrt(2 / checked)
