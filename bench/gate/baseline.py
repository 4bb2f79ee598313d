"""The file of a baseline, tolerances of its values, and the comparison with new results."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AllowInfNan, Strict, TypeAdapter, ValidationError
from scipy.special import stdtrit

from bench import registry
from bench.errors import BenchError, CellFailed, unknown
from bench.gate.compute import Found, Key
from bench.request import Suite
from bench.results.provenance import provenance
from bench.statistics.significance import holm, paired_randomisation
from bench.storage.atomic import atomic_write
from bench.storage.reading import read_json
from bench.tables import Column

ALPHA = 0.01
LEAST_SEEDS = 5
SAMPLES = 100_000
"""Random sign flips of a test. The least p is about 1e-5, below alpha for a family of a thousand."""
COLUMNS = [
    *(Column("cell", "name"), Column("value", "word"), Column("baseline"), Column("now"), Column("difference")),
    *(Column("tolerance"), Column("", "word")),
]
RESOLUTION = 0.01
"""Least tolerance of a diagnostic, as a share of its value. The least of a measure over n queries is 1 / n."""

Number = Annotated[float, Strict(), AllowInfNan(False)]
"""A finite number, since comparisons with NaN are always false."""


@dataclass(frozen=True)
class Value:
    """A value of a cell or training: the mean over the checked seeds, and the tolerance.

    In a baseline of one seed, a measure has the score of each query by id. Other values have no tolerance.
    """

    cell: str
    name: str
    checked: Number
    tolerance: Number
    seeds: tuple[Number, ...]
    queries: Mapping[str, Number] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.cell, self.name


@dataclass(frozen=True)
class Baseline:
    """The results of a suite, and the software that made them."""

    suite: Suite
    values: tuple[Value, ...]
    made_by: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...] = ()
    """The `reason` of each replacement with its `date` and `commit`, oldest first."""

    def write(self, path: Path) -> None:
        """Write JSON with a line for each value, so that diffs are readable."""
        parts = {"suite": json.dumps(self.suite.model_dump(mode="json")), "made_by": json.dumps(self.made_by)}
        values = ({name: each for name, each in asdict(value).items() if each != {}} for value in self.values)
        for name, items in {"history": self.history, "values": values}.items():
            parts[name] = "[\n" + ",\n".join(map(json.dumps, items)) + "\n]"
        with atomic_write(path) as file:
            file.write("{" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "}\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the baseline of a file. Raises `BenchError` if it is missing or malformed."""
        content = read_json(path)
        try:
            return TypeAdapter(cls).validate_python(content)
        except ValidationError as error:
            raise BenchError(f"{path} is not a baseline; write one under another name with bench baseline") from error

    def of(self, methods: Sequence[str]) -> Self:
        """Return the values of some methods and the reference rows. Raises `BenchError` for an unknown method."""
        names = {registry.row_name(text): text for text in self.suite.methods}
        for name in methods:
            if name not in names:
                raise unknown("method in the baseline:", name, names)
        kept = {*registry.references(), *(row for name in methods for row in registry.rows_of(name))}
        return replace(
            self,
            suite=self.suite.model_copy(update={"methods": tuple(names[name] for name in methods)}),
            values=tuple(value for value in self.values if value.cell.split(" ")[0] in kept),
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
        raise CellFailed(f"{' '.join(incomplete[0])} is missing for a seed, so there is no baseline")
    about = provenance()
    made_by = {name: about[name] for name in ("bench", "commit", "libraries", "platform")}
    if suite.by_query:
        (one,) = found
        exact = (Value(*key, number, 0.0, (number,)) for key, number in one.values.items() if is_exact(key[1]))
        scored = (
            Value(*key, mean(of.values()), 1 / len(of), (mean(of.values()),), of) for key, of in one.scores.items()
        )
        return Baseline(suite, (*exact, *scored), made_by)
    family = sum(not is_exact(name) for _, name in keys)
    return Baseline(suite, tuple(_value(key, found, suite.checked, family) for key in keys), made_by)


def _value(key: Key, found: Sequence[Found], checked: int, family: int) -> Value:
    cell, name = key
    seeds = tuple(one.values[key] for one in found)
    now = mean(seeds[:checked])
    limit = 0.0
    if not is_exact(name):
        queries = found[0].values.get((cell, "counts.queries"))  # a training has none
        least = RESOLUTION * abs(now) if queries is None else 1 / queries
        limit = max(tolerance(seeds, checked, family), least)
    return Value(cell, name, now, limit, seeds)


def is_exact(name: str) -> bool:
    """Return True for a value without tolerance: counts, and changes of the teacher."""
    return name.startswith(("counts.", "teacher."))


def tolerance(seeds: Sequence[float], checked: int, family: int) -> float:
    """Return the tolerance of a mean over `checked` seeds: t(1 - alpha / (2 family), S - 1) s sqrt(2 / checked).

    s is the standard deviation over S seeds. This is a two-sided test between two means, corrected for `family` values
    (Bonferroni). Each seed of the embedded suite has its own teacher, so s covers the variation between machines.
    """
    quantile = float(stdtrit(len(seeds) - 1, 1 - ALPHA / (2 * family)))
    return quantile * stdev(seeds) * math.sqrt(2 / checked)


def compare(baseline: Baseline, found: Sequence[Found]) -> list[list[str]]:
    """Return a row with the `COLUMNS` for each value that moved, is missing or is new.

    Scores for other queries than before count as moved.
    """
    now, scores = [one.values for one in found], found[0].scores
    rows, tested = [], []
    for value in baseline.values:
        current = mean(one[value.key] for one in now) if all(value.key in one for one in now) else None
        if not value.queries or current is None:
            if current is None or not abs(current - value.checked) <= value.tolerance:  # not, for NaN
                rows.append(_row(value.key, value.checked, current, _figure(value.tolerance)))
        elif scores[value.key].keys() != value.queries.keys():
            rows.append(_row(value.key, value.checked, current, verdict="other queries"))
        else:
            tested.append((value, np.array([scores[value.key][query] - old for query, old in value.queries.items()])))
    rows += _compare_queries(tested)
    known = {value.key for value in baseline.values}
    for key in dict.fromkeys(key for one in now for key in one if key not in known):
        if not baseline.suite.by_query or key in scores or is_exact(key[1]):
            rows.append(_row(key, None, mean(one[key] for one in now if key in one)))
    return rows


def _compare_queries(tested: Sequence[tuple[Value, np.ndarray]]) -> list[list[str]]:
    """Return a row for each value that moved significantly (Holm), and by more than 1 / n for n queries."""
    rng, rows = np.random.default_rng(0), []
    p_values = [
        float(paired_randomisation(differences, rng, SAMPLES)[0]) if np.isfinite(differences).all() else 0.0
        for _, differences in tested
    ]
    for (value, differences), p in zip(tested, holm(p_values).tolist(), strict=True):
        if not (p >= ALPHA or abs(differences.sum()) <= 1):  # not, for NaN
            rows.append(_row(value.key, value.checked, value.checked + float(differences.mean()), f"p = {p:.2g}"))
    return rows


def _row(key: Key, before: float | None, now: float | None, tolerance: str = "-", verdict: str = "") -> list[str]:
    if before is None or now is None:
        return [*key, _figure(before), _figure(now), "-", tolerance, "new" if before is None else "missing"]
    difference = now - before
    direction = "higher" if difference > 0 else "lower" if difference < 0 else "not a number"
    return [*key, _figure(before), _figure(now), f"{difference:+.4g}", tolerance, verdict or direction]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
