"""Nothing finished is lost: a run that is killed, whenever that may be, ends in the bytes of one that was not."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from test_experiment import METHODS, REFERENCES, Bench

from bench.commands.run import run
from bench.data.cards import Card
from bench.encoders.encoder import Encoder
from bench.evaluation.retrieval import search
from bench.sealed import read_sealed
from bench.training import loop
from bench.training.budget import Budget

PROCESSES = multiprocessing.get_context("forkserver")  # children of a process that has imported everything once
PROCESSES.set_forkserver_preload(
    ["bench.running.work", "bench.report.leaderboard", "transformers.models.bert.modeling_bert", "methods.optical"]
)
VOLATILE = {"manifest.json", "state.json", "cost.csv", "leaderboard.md", "log.jsonl", "said.txt"}
"""Files that tell times."""


@dataclass(frozen=True)
class Place:
    """Where a run works: its results, its cache, and what it said."""

    root: Path

    @property
    def said(self) -> str:
        return (self.root / "said.txt").read_text()

    def files(self) -> dict[str, bytes]:
        """What must be the same bytes in every run, by its path."""
        paths = [path for path in self.root.rglob("*") if path.is_file() and path.name not in VOLATILE]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths if path.suffix != ".tmp"}

    def entries(self) -> list[Path]:
        return [*self.root.glob("results/trainings/*"), *self.root.glob("results/cells/*")]

    def unfinished(self) -> list[Path]:
        return [folder for folder in self.entries() if not (folder / "manifest.json").is_file()]


@pytest.fixture(scope="module")
def bench(small_conlang: dict[str, Card], encoder_folder: Path) -> Bench:
    return Bench(small_conlang, encoder_folder)


def start(bench: Bench, place: Place, *methods: str, **changes: Any) -> BaseProcess:
    """`bench run` in a process of its own, which keeps every step and encodes a few texts at a time."""
    place.root.mkdir(exist_ok=True)
    process = PROCESSES.Process(target=_run, args=(bench, place, methods, changes))
    process.start()
    return process


def _run(bench: Bench, place: Place, methods: tuple[str, ...], changes: dict[str, Any]) -> None:
    os.chdir(place.root)
    os.environ |= {"BENCH_HOME": "home", "TOKENIZERS_PARALLELISM": "false"}
    torch.set_num_threads(1)
    with Path("said.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.training.checkpoint.Checkpoint.due", True)
        patch.setattr("bench.evaluation.embeddings.SHARD", 128)
        # Slow, and the same in all of these runs.
        patch.setattr("bench.results.provenance.package_commit", dict)
        # Over too soon for a kill to fall into it, unless it takes some time more.
        patch.setattr("bench.training.loop.optimise", slowed(loop.optimise, 0.03))
        patch.setattr("bench.encoders.encoder.Encoder.encode", slowed(Encoder.encode, 0.01))
        patch.setattr("bench.evaluation.evaluate.search", slowed(search, 0.08))
        patch.setattr("os.fsync", slowed(os.fsync, 0.003))
        code = run(bench.request(Path("results"), methods, **changes), bench.cards)
    sys.exit(code)


def slowed(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(seconds)
        return function(*arguments, **more)

    return slow


def wait_for_work(process: BaseProcess, place: Place) -> float:
    """Return when something is there that could be lost, with the time."""
    while not (place.root / "results" / "trainings").is_dir():
        assert process.is_alive(), place.said
        time.sleep(0.001)
    return time.time()


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed."""

    files: dict[str, bytes]
    seconds: float
    """From the first training to the last file."""


def whole_run(bench: Bench, place: Place, *methods: str, **changes: Any) -> Whole:
    process = start(bench, place, *methods, **changes)
    started = wait_for_work(process, place)
    process.join()
    assert process.exitcode == 0, place.said
    last = place.root / "results" / "leaderboard.md"
    return Whole(place.files(), last.stat().st_mtime - started)


def phase(place: Place) -> str:
    """What a killed run was at, as its files tell."""
    if any(place.root.rglob(".*.tmp")):
        return "writing"
    for folder in place.unfinished():
        if folder.parent.name == "trainings":
            return "saving the retriever" if (folder / "retriever").is_dir() else "training"
        if (folder / "run.trec.gz").is_file():
            return "finishing a cell"
        # The 20 queries come last, and they fit into one shard.
        shards = (folder / "embeddings").glob("*/00000.npy")
        return "searching" if any(len(np.load(shard)) <= 20 for shard in shards) else "encoding"
    return "between"


def check_nothing_is_half(place: Place, whole: Whole) -> None:
    """Whatever a killed run left under its final name is complete."""
    unfinished = place.unfinished()
    for name, data in place.files().items():
        path = place.root / name
        if any(folder / "retriever" in path.parents for folder in unfinished):
            continue  # files within a folder that counts only when the manifest beside it is there
        if name in whole.files:
            assert data == whole.files[name], name
        elif path.name == "checkpoint.safetensors":
            assert safetensors.torch.load(read_sealed(path))
        else:
            assert np.load(BytesIO(data)).dtype == np.float32, name
    for folder in place.entries():
        if folder not in unfinished:
            assert json.loads((folder / "manifest.json").read_text())["fingerprint"]


def check_nothing_was_lost(place: Place, whole: Whole) -> None:
    """After the same command again all is as if it had never been killed."""
    files = place.files()
    assert files.keys() == whole.files.keys()
    assert [name for name, data in files.items() if data != whole.files[name]] == []
    assert place.unfinished() == []
    assert [path for folder in place.entries() for path in folder.rglob(".*.tmp")] == []
    for log in place.root.glob("results/trainings/*/log.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == list(range(1, len(steps) + 1))


def kill_and_run_again(bench: Bench, place: Place, whole: Whole, delay: float, *methods: str, **changes: Any) -> str:
    """Kill a run, check what it left, run it to its end and check that; returns what it was at when it was killed."""
    process = start(bench, place, *methods, **changes)
    wait_for_work(process, place)
    process.join(delay)
    process.kill()
    process.join()
    where = phase(place) if process.exitcode == -signal.SIGKILL else "over"
    print(f"killed after {delay:.3f} s: {where}")
    check_nothing_is_half(place, whole)
    again = start(bench, place, *methods, **changes)
    again.join()
    assert again.exitcode == 0, place.said
    check_nothing_was_lost(place, whole)
    return where


def kill_at_moments(bench: Bench, folder: Path, kills: int, *methods: str, **changes: Any) -> Counter[str]:
    """Kill as many runs, at random moments of equal parts of what one takes; returns how often it was at what."""
    whole = whole_run(bench, Place(folder), *methods, **changes)
    assert {"results/leaderboard.csv", "results/leaderboard-wide.csv"} < whole.files.keys()
    cells = len(methods) + len(REFERENCES)
    assert sum(name.endswith(("run.trec.gz", "scores.csv.gz")) for name in whole.files) == 2 * cells
    draw = random.Random(0).random
    moments = [whole.seconds * (number + draw()) / kills for number in range(kills)]
    return Counter(
        kill_and_run_again(bench, Place(folder.with_name(f"{folder.name}{number}")), whole, moment, *methods, **changes)
        for number, moment in enumerate(moments)
    )


def test_killed_three_times_it_ends_in_the_same_bytes(bench: Bench, tmp_path: Path) -> None:
    phases = kill_at_moments(bench, tmp_path / "run", 3, "distillation")
    assert phases["over"] < 3


@pytest.mark.slow
def test_killed_at_thirty_moments_it_ends_in_the_same_bytes(bench: Bench, tmp_path: Path) -> None:
    phases = kill_at_moments(bench, tmp_path / "run", 30, *METHODS, budget=Budget(4, "steps"))
    assert len(phases.keys() & {"training", "encoding", "searching", "writing"}) >= 3, phases


@pytest.mark.slow
def test_killed_training_of_some_seconds_ends_and_says_what_it_reached(bench: Bench, tmp_path: Path) -> None:
    """Its bytes depend on the clock, so they are not compared."""
    place = Place(tmp_path / "run")
    process = start(bench, place, "distillation", budget=Budget(2, "seconds"))
    while len(logged_steps(place)) < 5:
        assert process.is_alive(), place.said
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = start(bench, place, "distillation", budget=Budget(2, "seconds"))
    again.join()
    assert again.exitcode == 0, place.said
    assert "going on from step" in place.said
    steps = logged_steps(place)
    assert steps == list(range(1, len(steps) + 1))
    (manifest,) = place.root.glob("results/trainings/distillation.*/manifest.json")
    cost = json.loads(manifest.read_text())["cost"]
    assert cost["trained_steps"] == len(steps) > 5
    assert 2 <= cost["trained_seconds"] <= cost["seconds"]


def logged_steps(place: Place) -> list[int]:
    """The steps in the log of a training, but for one that is just being written."""
    logs = place.root.glob("results/trainings/distillation.*/log.jsonl")
    return [json.loads(line)["step"] for log in logs for line in log.read_text().splitlines(True) if line[-1] == "\n"]


@pytest.mark.slow
def test_killed_command_ends_in_the_same_bytes(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench run` as a user types it, on the whole generated collection."""
    command = [Path(sys.executable).with_name("bench"), "run", "--methods", "distillation", "--pairs", "qaa-eng"]
    command += ["--encoder", encoder_folder, "--budget", "100steps", "--results", "results"]
    places = [Place(tmp_path / name) for name in ("whole", "killed")]
    for place in places:
        place.root.mkdir()
        with (place.root / "said.txt").open("w") as said, monkeypatch.context() as patch:
            patch.setenv("BENCH_HOME", str(place.root / "home"))
            process = subprocess.Popen(command, cwd=place.root, stdout=said, stderr=said)
            if place.root.name == "killed":
                while len(logged_steps(place)) < 20:
                    assert process.poll() is None, place.said
                    time.sleep(0.01)
                process.kill()
                assert process.wait() == -signal.SIGKILL
                assert phase(place) == "training"
                process = subprocess.Popen(command, cwd=place.root, stdout=said, stderr=said)
            assert process.wait() == 0, place.said
    whole, killed = places
    check_nothing_was_lost(killed, Whole(whole.files(), 0))
