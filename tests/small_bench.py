"""Whole comparisons with a small encoder on a small generated collection, as calls of functions and of the command."""

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.commands.run import run
from bench.data import Pair
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.progress import Display
from bench.recipe import Budget
from bench.report.leaderboard import leaderboard
from bench.report.report import write_leaderboard
from bench.request import Request
from bench.results.store import RUN, SCORES, Store
from bench.running.execute import Executor, Outcome
from bench.running.experiment import make_experiment
from bench.running.resources import Resources
from bench.storage.sealed import MANIFEST, read_manifest

METHODS = ("optical", "adversarial", "distillation")
REFERENCES = ("zero-shot", "untrained", "oracle")
SIZES = {"scale": 0.05, "test_queries": 20, "test_passages": 1200, "dev_queries": 10, "dev_passages": 400}
"""Options of the small collection."""


def rows(results: Path, file: str = "leaderboard.csv") -> list[dict[str, str]]:
    with (results / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def entry(results: Path, kind: str, method: str) -> Path:
    """The folder of the only training, or cell, of a method."""
    (folder,) = (results / kind).glob(f"{method}.*")
    return folder


def contents(results: Path, pattern: str = "*") -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in results.rglob(pattern) if path.is_file()}


@dataclass(frozen=True)
class Bench:
    """`bench run` with the small encoder and collection."""

    cards: dict[str, Card]
    encoder: Path

    def request(self, results: Path, methods: Sequence[str] = METHODS, **changes: Any) -> Request:
        values = {"datasets": ("conlang",), "pairs": (Pair("qaa", "eng"),), "encoder": str(self.encoder)}
        values |= {"device": "cpu", "precision": "float32", "threads": 1, "budget": Budget(2, "steps"), "offline": True}
        return Request(**{"methods": tuple(methods), "results": results, **values, **changes})

    def execute(self, results: Path, methods: Sequence[str] = METHODS, **changes: Any) -> Outcome:
        """Compute a request as `run` does, and return its outcome."""
        request, resolver = self.request(results, methods, **changes), Resolver(offline=True)
        experiment, store = make_experiment(request, self.cards, resolver), Store(results).open()
        how = (*request.device, request.precision, self.cards, resolver, Display(quiet=True))
        outcome = Executor(Resources(experiment.encoder, *how, threads=1), request, store).run(experiment)
        write_leaderboard(leaderboard(store))
        return outcome

    def run(self, results: Path, methods: Sequence[str] = METHODS, **changes: Any) -> int:
        return run(self.request(results, methods, **changes), self.cards)


def flip_a_bit(path: Path, place: float = 2 / 3) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_text("")


HARM: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": flip_a_bit,
    "truncation": lambda path: os.truncate(path, path.stat().st_size - 2),
    "an empty file": lambda path: os.truncate(path, 0),
    "a deleted file": Path.unlink,
    "a directory in its place": replace_by_a_directory,
}
"""Kinds of damage to a file."""
CARD = """
name = "small"
description = "the generated collection, a twentieth of its size"
licence = "none"
data = [
    {{ role = "test", format = "conlang", pairs = ["qaa-eng"], options = {0} }},
    {{ role = "bitext", format = "conlang", pairs = ["qaa-eng"], options = {0} }},
]
""".format(f"{{ {', '.join(f'{key} = {value}' for key, value in SIZES.items())} }}")


@dataclass(frozen=True)
class Said:
    """The output and the exit code of a call."""

    code: int
    out: str
    lines: list[str]
    """On stderr."""

    def line(self, *words: str) -> str:
        """The only line with all these words."""
        (line,) = [line for line in self.lines if all(word in line for word in words)]
        return line


@dataclass(frozen=True)
class Command:
    """The command in this process, with the small encoder and collection."""

    folder: Path
    """Has the cards, and perhaps `plugin.py`."""
    encoder: Path
    results: Path
    capture: pytest.CaptureFixture[str] | None = None

    def arguments(self, methods: str, *more: str, budget: str = "2steps") -> list[str]:
        """Return the arguments of `bench run`. A method of `plugin.py` is named by its class."""
        names = [f"{self.folder}/plugin.py:{name}" if name[0].isupper() else name for name in methods.split()]
        given = ["--datasets", "small", "--pairs", "qaa-eng", "--train", "small", "--cards", str(self.folder / "cards")]
        given += ["--encoder", str(self.encoder), "--device", "cpu", "--results", str(self.results)]
        return ["run", "--methods", ",".join(names), *given, "--budget", budget, *more]

    def __call__(self, methods: str, *more: str, budget: str = "2steps") -> Said:
        return self.call(*self.arguments(methods, *more, budget=budget))

    def call(self, *arguments: str) -> Said:
        code = main(arguments)
        out, err = self.capture.readouterr() if self.capture else ("", "")
        assert "Traceback" not in err
        return Said(code, out, err.splitlines())

    def leaderboard(self) -> Said:
        return self.call("leaderboard", "--results", str(self.results))

    def methods(self) -> set[str]:
        """Those on the leaderboard."""
        return {row["method"] for row in rows(self.results)}

    def entry(self, kind: str, method: str) -> Path:
        return entry(self.results, kind, method)

    def manifest(self, kind: str, method: str) -> dict[str, Any]:
        return read_manifest(self.entry(kind, method))

    def forget(self, kind: str, method: str) -> None:
        """Leave an entry as one that is not finished."""
        (self.entry(kind, method) / MANIFEST).unlink()

    def files(self) -> dict[str, bytes]:
        """Return the content of the files whose bytes must not depend on the course of the call."""
        found = {
            path: data
            for pattern in ("leaderboard*.csv", RUN, SCORES)
            for path, data in contents(self.results, pattern).items()
        }
        return {str(path.relative_to(self.results)): data for path, data in sorted(found.items())}


def steps_of(log: Path) -> list[int]:
    """Return the steps in a log, without an incomplete last line."""
    lines = log.read_text().splitlines(keepends=True)
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]
