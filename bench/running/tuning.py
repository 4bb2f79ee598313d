"""The protocol of `bench tune`: the same number of configurations of each method, and a choice by one measure."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from bench import registry
from bench.errors import BenchError
from bench.options import spelled
from bench.request import Tune
from bench.results.store import Record
from bench.running.experiment import Experiment
from bench.running.method_specs import resolve_method
from bench.sampling import numpy_generator
from bench.spec import RunSpec, parse_methods
from bench.storage.atomic import atomic_write
from bench.tables import Column, frame_csv, print_table
from bench.terminal import write_out
from bench.training.loop import TrainedMethod

MEASURE = "nDCG@10"
FACTORS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
"""Values of `learning_rate_factor` for all methods, enough for 8 draws of a method without other settings."""
COMMAND = ("encoder", "datasets", "pairs", "train", "budget", "seeds", "threads", "draws", "seed")
"""Options in the column `command` of a table: those that can change a score, without places of files."""
RESULTS = [f"mean {MEASURE}", "steps", "cpu_seconds"]
"""The mean over all cells (NaN if one failed), and the cost of all trainings."""
YES = {True: "yes", False: "no"}
TRIALS = [
    *(Column("draw"), Column("settings", "name"), Column(MEASURE), Column("steps", priority=2)),
    *(Column("CPU s", priority=1), Column("", "word")),
]


def grid(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the defaults of the tuned settings of a method, and all other configurations.

    Raises `BenchError` for a combination, for a method with settings and for a method without training.
    """
    named = parse_methods(text)
    if len(named) > 1 or named[0].settings:
        raise BenchError(f"method '{text}': tune methods one by one and without settings")
    entry = registry.find_method(text)
    method, fixed = entry.load(), dict(entry.settings)
    if not issubclass(method, TrainedMethod):
        raise BenchError(f"method '{text}' trains no student; bench tune needs trained methods")
    values = {"learning_rate_factor": FACTORS, **method.tuned}
    values = {name: of_name for name, of_name in values.items() if name not in fixed}
    config = method.Config(**fixed)
    defaults = {name: getattr(config, name) for name in values}
    points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
    return defaults, [point for point in points if point != defaults]


def draws(text: str, number: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return `number` configurations of a method, defaults first, by their texts for `bench run`.

    The others are drawn uniformly without repetition. A smaller grid is returned as a whole. Raises `BenchError` as
    `grid`.
    """
    defaults, others = grid(text)
    order = numpy_generator(seed, f"draws of {registry.find_method(text).name}").permutation(len(others))
    drawn = {}
    for point in (defaults, *(others[i] for i in order[: number - 1])):
        changed = [f"{name}={spelled(value)}" for name, value in point.items() if value != defaults[name]]
        drawn[":".join([text, *changed])] = point
    return drawn


def trials(
    draws: Mapping[str, Mapping[str, Any]], experiment: Experiment, cells: Sequence[Record]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two frames with a row per draw of a method: the tuned settings as texts, and the results.

    The results have `MEASURE` by cell (NaN if it failed), the columns of `RESULTS`, and `chosen`, as in `choose`.
    """
    finished = {cell.spec.fingerprint: cell for cell in cells}
    planned: dict[Any, list[RunSpec]] = {}
    for training, its in experiment.cells.items():
        planned.setdefault(training.method.methods, []).extend(cell.spec for cell in its)
    rows = []
    for text in draws:
        specs = planned[resolve_method(text, {}).methods]
        found = {f"{spec.dataset} {spec.pair} seed{spec.seed}": finished.get(spec.fingerprint) for spec in specs}
        scores = {name: cell.means[MEASURE] if cell else math.nan for name, cell in found.items()}
        # Several cells may share a training.
        costs = {cell.manifest["training"]: cell.trained["cost"] for cell in found.values() if cell}.values()
        totals = [sum(cost.get(name, 0) for cost in costs) for name in ("trained_steps", "cpu_seconds")]
        rows.append({**scores, **dict(zip(RESULTS, (fmean(scores.values()), *totals), strict=True))})
    settings = pd.DataFrame([{key: spelled(value) for key, value in point.items()} for point in draws.values()])
    results = pd.DataFrame(rows)
    return settings, results.assign(chosen=choose(results[RESULTS[0]]))


def choose(means: pd.Series) -> pd.Series:
    """Return True for the first of the highest means, and False for the others and for NaN."""
    highest = means.eq(means.max())
    return highest & highest.cumsum().eq(1)


def print_trials(name: str, texts: Sequence[str], results: pd.DataFrame, *, wide: bool = False) -> None:
    """Print a table of the draws of a method, and the chosen draw as a text for `bench run --methods`."""
    mean, steps, seconds = (results[column] for column in RESULTS)
    rows = zip(
        results.index.map(str),
        [text.removeprefix(name).replace(":", " ").strip() or "defaults" for text in texts],
        mean.map("{:.4f}".format, na_action="ignore").fillna("failed"),
        steps.map(str),
        seconds.map("{:.0f}".format),
        results["chosen"].map({True: "chosen", False: ""}),
        strict=True,
    )
    title = f"{name}, mean over {', '.join(results.columns[: -len(RESULTS) - 1])}"
    print_table(TRIALS, list(rows), title=title, wide=wide)
    best = [text for text, wins in zip(texts, results["chosen"], strict=True) if wins]
    write_out(f"chosen: {best[0] if best else 'none, every draw failed'}\n")


def write_trials(name: str, settings: pd.DataFrame, results: pd.DataFrame, options: Tune, encoder: str) -> Path:
    """Write a line for each draw to a CSV file, and return its path. docs/tuning.md describes the columns."""
    path = options.output / f"{registry.find_method(name).name}.csv"
    texts = {"cpu_seconds": results["cpu_seconds"].map("{:.1f}".format), "chosen": results["chosen"].map(YES)}
    frame = settings.join(results.assign(**texts, command=command(name, options, encoder)))
    with atomic_write(path) as file:
        file.write(frame_csv(frame.rename_axis("draw").reset_index(), float_format="%.6f"))
    return path


def command(name: str, options: Tune, encoder: str) -> str:
    """Return the command that repeats the tuning of a method."""
    values = {**dict(options), "encoder": encoder}
    texts = {key: ",".join(map(str, values[key])) if isinstance(values[key], tuple) else values[key] for key in COMMAND}
    given = [f"--{key} {text}" for key, text in texts.items() if text not in ("", None)]
    recipe = [f"--set recipe.{key}={spelled(value)}" for key, value in options.recipe.items()]
    return " ".join(["bench tune", name, *given, *recipe])
