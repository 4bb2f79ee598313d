"""The protocol of `bench tune`: equally many configurations of each method, one of which is chosen by one measure."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

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
from bench.tables import print_table
from bench.training.loop import TrainedMethod

MEASURE = "nDCG@10"
FACTORS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
"""The values of `learning_rate_factor`, from which all methods draw: enough for 8 draws of a method without others."""
COMMAND = ("encoder", "datasets", "pairs", "train", "budget", "seeds", "threads", "draws", "seed")
"""The options in the column `command` of a table. They are all that can change a score, without places of files."""
WIDTH = 80


@dataclass
class Trial:
    """A configuration of a method and its results."""

    text: str
    """The method with its settings, as for `bench run --methods`."""
    settings: Mapping[str, Any]
    """The values of all tuned settings."""
    scores: dict[str, float | None] = field(default_factory=dict)
    """The measure by cell; None for a cell that failed."""
    steps: int = 0
    cpu_seconds: float = 0.0
    chosen: bool = False

    @property
    def mean(self) -> float | None:
        """The mean over all cells; None if one of them failed."""
        values = [score for score in self.scores.values() if score is not None]
        return fmean(values) if values and len(values) == len(self.scores) else None


def grid(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the defaults of a method's tuned settings, and all configurations that may be drawn besides them. Raises
    `BenchError` for a combination, for a method with settings and for one that trains no student.
    """
    named = parse_methods(text)
    if len(named) > 1 or named[0].settings:
        raise BenchError(f"method '{text}': a method is tuned alone and without settings")
    entry = registry.find_method(text)
    method, fixed = entry.load(), dict(entry.settings)
    if not issubclass(method, TrainedMethod):
        raise BenchError(f"method '{text}' trains no student, and only trained methods are tuned")
    values = {"learning_rate_factor": FACTORS, **method.tuned}
    values = {name: of_name for name, of_name in values.items() if name not in fixed}
    config = method.Config(**fixed)
    defaults = {name: getattr(config, name) for name in values}
    points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
    return defaults, [point for point in points if point != defaults]


def draws(text: str, number: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return the defaults of a method and other configurations, `number` in all, by their texts for `bench run`.

    The others are drawn uniformly and without repetition; a smaller grid is returned as a whole. Raises `BenchError` as
    `grid`.
    """
    defaults, others = grid(text)
    order = numpy_generator(seed, f"draws of {registry.find_method(text).name}").permutation(len(others))
    drawn = {}
    for point in (defaults, *(others[i] for i in order[: number - 1])):
        changed = [f"{name}={spelled(value)}" for name, value in point.items() if value != defaults[name]]
        drawn[":".join([text, *changed])] = point
    return drawn


def trials(draws: Mapping[str, Mapping[str, Any]], experiment: Experiment, cells: Sequence[Record]) -> list[Trial]:
    """Return the results of a method's draws among these finished cells. One of them is chosen."""
    finished = {cell.spec.fingerprint: cell for cell in cells}
    planned: dict[Any, list[RunSpec]] = {}
    for training, its in experiment.cells.items():
        planned.setdefault(training.method.methods, []).extend(cell.spec for cell in its)
    tried = []
    for text, settings in draws.items():
        trial, costs = Trial(text, settings), {}
        for spec in planned[resolve_method(text, {}).methods]:
            cell = finished.get(spec.fingerprint)
            trial.scores[f"{spec.dataset} {spec.pair} seed{spec.seed}"] = cell.means[MEASURE] if cell else None
            if cell:
                costs[cell.manifest["training"]] = cell.trained["cost"]  # several cells may share a training
        trial.steps = sum(cost.get("trained_steps", 0) for cost in costs.values())
        trial.cpu_seconds = sum(cost["cpu_seconds"] for cost in costs.values())
        tried.append(trial)
    choose(tried)
    return tried


def choose(tried: Sequence[Trial]) -> None:
    """Choose the trial with the highest mean, the first of equals; none if each of them failed."""
    if scored := [(trial.mean, trial) for trial in tried if trial.mean is not None]:
        max(scored, key=lambda each: each[0])[1].chosen = True


def print_trials(name: str, tried: Sequence[Trial]) -> None:
    """Print a table of a method's draws, and the chosen one as a text for `bench run --methods`."""
    rows = [
        [
            str(number),
            trial.text.removeprefix(name).replace(":", " ").strip() or "defaults",
            "failed" if trial.mean is None else f"{trial.mean:.4f}",
            str(trial.steps),
            f"{trial.cpu_seconds:.0f}",
            "chosen" if trial.chosen else "",
        ]
        for number, trial in enumerate(tried)
    ]
    columns = ["draw", "settings", MEASURE, "steps", "CPU s", ""]
    title = f"{name}, mean over {', '.join(tried[0].scores)}"
    print_table(columns, rows, title=title, right=("draw", MEASURE, "steps", "CPU s"), width=WIDTH)
    print(f"chosen: {next((trial.text for trial in tried if trial.chosen), 'none, every draw failed')}\n")


def write_trials(name: str, tried: Sequence[Trial], options: Tune, encoder: str) -> Path:
    """Write a line for each draw to a CSV file, and return its path. docs/tuning.md describes the columns."""
    path = options.output / f"{registry.find_method(name).name}.csv"
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        first = tried[0]
        ends = [f"mean {MEASURE}", "steps", "cpu_seconds", "chosen", "command"]
        writer.writerow(["draw", *first.settings, *first.scores, *ends])
        for number, trial in enumerate(tried):
            scores = ["" if score is None else f"{score:.6f}" for score in (*trial.scores.values(), trial.mean)]
            settings = map(spelled, trial.settings.values())
            cost = trial.steps, f"{trial.cpu_seconds:.1f}", "yes" if trial.chosen else "no"
            writer.writerow([number, *settings, *scores, *cost, command(name, options, encoder)])
    return path


def command(name: str, options: Tune, encoder: str) -> str:
    """Return the command that repeats the tuning of a method."""
    values = {**dict(options), "encoder": encoder}
    texts = {key: ",".join(map(str, values[key])) if isinstance(values[key], tuple) else values[key] for key in COMMAND}
    given = [f"--{key} {text}" for key, text in texts.items() if text not in ("", None)]
    recipe = [f"--set recipe.{key}={spelled(value)}" for key, value in options.recipe.items()]
    return " ".join(["bench tune", name, *given, *recipe])
