"""What a suite gave: the values and scores of a baseline, how far each value may move, and their file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student_t

from bench import registry
from bench.atomic import atomic_write
from bench.errors import BenchError, CellFailed, unknown
from bench.gate.compute import QUERIES, Found, Key
from bench.request import Suite
from bench.results.provenance import provenance

ALPHA = 0.01
LEAST_SEEDS = 5
RESOLUTION = 0.01
"""The least tolerance of a diagnostic, as a share of its value; that of a measure is one query's worth."""


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
    tightest: float | None = None
    """The least that the tolerance has been since a reason was last given for loosening, if it was less than now."""

    @property
    def key(self) -> Key:
        return self.cell, self.name


@dataclass(frozen=True)
class Scores:
    """What each query of a cell scores by one measure, by its id."""

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
    """What a suite gave, what it was made by, and why it was loosened whenever it was.

    Over several seeds there are no `scores`; of one seed the `values` are those that may not move at all.
    """

    suite: Suite
    values: tuple[Value, ...]
    made_by: Mapping[str, Any]
    scores: tuple[Scores, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    """Oldest first: the `date`, the `commit`, the `reason` that was given, and what was `loosened`."""

    def write(self, path: Path) -> None:
        """Keep it as JSON, a line for each value, so that a change of the file shows which moved."""
        values = [{name: given for name, given in asdict(value).items() if given is not None} for value in self.values]
        lists = {"history": self.history, "values": values, "scores": map(asdict, self.scores)}
        parts = {"suite": json.dumps(self.suite.model_dump(mode="json")), "made_by": json.dumps(self.made_by)}
        for name, items in lists.items():
            if lines := ",\n".join(map(json.dumps, items)):
                parts[name] = f"[\n{lines}\n]"
        with atomic_write(path) as file:
            file.write("{" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "}\n")

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Raises `BenchError` if it is not there or malformed."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            values = tuple(Value(**{**value, "seeds": tuple(value["seeds"])}) for value in content.get("values", ()))
            scores = tuple(Scores(**item) for item in content.get("scores", ()))
            history = tuple(map(dict, content.get("history", ())))
            suite = Suite.model_validate(content["suite"])
            return cls(suite, values, content["made_by"], scores, history)
        except OSError as error:
            raise BenchError(f"the baseline {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(f"{path} is no baseline; bench baseline writes one, under another name") from error

    @property
    def keys(self) -> list[Key]:
        """All that is looked at, by cell and name."""
        return [*(value.key for value in self.values), *(scores.key for scores in self.scores)]

    def of(self, methods: Sequence[str]) -> Baseline:
        """The part about some methods and the reference rows. Raises `BenchError` for a method that it lacks."""
        names = {registry.row_name(text): text for text in self.suite.methods}
        for name in methods:
            if name not in names:
                raise unknown("method in the baseline:", name, names)
        kept = {*methods, *registry.references()}
        values = tuple(value for value in self.values if value.cell.split(" ")[0] in kept)
        scores = tuple(item for item in self.scores if item.cell.split(" ")[0] in kept)
        suite = self.suite.model_copy(update={"methods": tuple(names[name] for name in methods)})
        return replace(self, suite=suite, values=values, scores=scores)


def fit_for_a_baseline(suite: Suite) -> Suite:
    """The suite itself, with as many seeds checked as there are. Raises `BenchError` if its seeds are too few."""
    if suite.by_query:
        return suite.model_copy(update={"checked": 1})
    if suite.checked > len(suite.seeds) or len(suite.seeds) < LEAST_SEEDS:
        raise BenchError(
            f"a baseline needs at least {LEAST_SEEDS} seeds, and as many as a check computes again; or one seed, to be "
            "compared query by query"
        )
    return suite


def make_baseline(suite: Suite, found: Sequence[Found]) -> Baseline:
    """The baseline of a suite, given what each of its seeds gave.

    Raises `CellFailed` if a value is not there for every seed.
    """
    keys = list(dict.fromkeys(key for one in found for key in one.values))
    if incomplete := [key for key in keys if any(key not in one.values for one in found)]:
        raise CellFailed(f"{' '.join(incomplete[0])} is not there for every seed, so there is no baseline")
    about = provenance()
    made_by = {name: about[name] for name in ("bench", "commit", "libraries", "platform")}
    if suite.by_query:
        exact = tuple(_value(key, found, suite, 0) for key in keys if is_exact(key[1]))
        scores = tuple(Scores(*key, queries) for key, queries in found[0].scores.items())
        return Baseline(suite, exact, made_by, scores)
    family = sum(not is_exact(name) for _, name in keys)
    return Baseline(suite, tuple(_value(key, found, suite, family) for key in keys), made_by)


def _value(key: Key, found: Sequence[Found], suite: Suite, family: int) -> Value:
    seeds = tuple(one.values[key] for one in found)
    cell, name = key
    checked = mean(seeds[: suite.checked])
    limit = 0.0
    if not is_exact(name):
        queries = found[0].values.get((cell, QUERIES))
        least = RESOLUTION * abs(checked) if queries is None else 1 / queries
        limit = max(tolerance(seeds, suite.checked, family), least)
    return Value(cell, name, checked, limit, mean(seeds), stdev(seeds) if len(seeds) > 1 else 0.0, seeds)


def is_exact(name: str) -> bool:
    """Whether a value depends on no seed, so that it may not move at all: counts, and what must not be touched."""
    return name.startswith(("coverage.", "teacher."))


def tolerance(seeds: Sequence[float], checked: int, family: int) -> float:
    """How far the mean of `checked` seeds may be from the baseline's mean of the same, when `family` values are looked
    at; `seeds` are the baseline's values.
    """
    quantile = float(student_t.ppf(1 - ALPHA / (2 * family), len(seeds) - 1))
    return quantile * stdev(seeds) * math.sqrt(2 / checked)
