"""Full disks, damaged files, kills and shared folders cost nothing else: the next call ends in the same bytes."""

import errno
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from small_bench import HARM, METHODS, REFERENCES, Bench, Command, contents, flip_a_bit, rows, steps_of

from bench.commands.run import run
from bench.encoders.encoder import Encoder
from bench.evaluation.retrieval import search
from bench.recipe import Budget
from bench.results.store import CHECKPOINT, LOG, RETRIEVER, RUN, SCORES
from bench.storage.sealed import MANIFEST, read_manifest, read_sealed
from bench.training import loop


@contextmanager
def no_room_for(file: str) -> Iterator[None]:
    """The disk is full when files with this in their names are written."""
    usual = Path.open

    def full(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        if "w" in mode and file in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return usual(path, mode, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        yield


@contextmanager
def read_only(source: Path, folder: Path) -> Iterator[Path]:
    """A copy of a folder on a read-only file system in memory; skips the test if none can be mounted."""

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")

    folder.mkdir()
    mount("size=4m")
    try:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        mount("remount,ro")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.usefixtures("interrupted_at_checkpoint")  # every step has a checkpoint
def test_disk_that_is_full_at_a_checkpoint_costs_one_training(
    command: Command, whole: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert command("zero-shot").code == 0
    before = command.files()
    with no_room_for(CHECKPOINT):
        said = command("distillation")
    assert said.code == 1
    assert "No space left on device" in said.line("FAILED distillation.", CHECKPOINT)
    assert command.files() == before
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    with no_room_for("00000.npy"):  # of the embedding cache, which costs only time
        assert command("distillation").code == 0
    assert command.files() == whole.files()


def test_disk_that_is_full_at_the_leaderboard_leaves_the_old_one(again: Command, whole: Command) -> None:
    path = again.results / "leaderboard.csv"
    path.write_text("old\n")
    with no_room_for(path.name):
        said = again("distillation")
    assert said.code == 1
    assert said.line(f"bench: No space left on device: {path}; finished work is stored; the same command")
    assert path.read_text() == "old\n"
    assert again("distillation").code == 0
    assert again.files() == whole.files()


def test_results_folder_that_cannot_be_written_is_refused(command: Command, whole: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with read_only(whole.results, tmp_path / "mounted") as mounted:
        for results in (tmp_path / "file" / "results", mounted, mounted / "new"):
            said = replace(command, results=results)("optical", "--quiet")
            assert (said.code, len(said.lines)) == (2, 1)
            problem = f"the results folder {results} cannot be written: ", "; choose another with --results"
            below = "results = ", "/file/", ": Not a directory", "; choose another name"
            assert said.line("bench: ", *(below if "file" in results.parts else problem))
        assert replace(command, results=mounted).files() == whole.files()


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        ("methods.distillation.Distillation.loss", {"distillation"}),
        ("bench.evaluation.run_files.write_run", {"distillation", *REFERENCES}),
    ],
    ids=["training", "evaluation"],
)
def test_overwrite_says_what_is_computed_again(command: Command, whole: Command, broken: str, failed: set[str]) -> None:
    methods = "distillation optical"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broken, lambda *arguments, **more: 1 / 0)
        assert command("distillation").code == 1
    said = command(methods, "--overwrite", "never")
    assert said.code == 1
    assert {line.split()[3].split(".")[0] for line in said.lines if "FAILED before: " in line} == failed
    assert "run with --overwrite failed to try it again" in said.line("FAILED before: distillation.")
    assert command.methods() == {"distillation", "optical", *REFERENCES} - failed

    said = command(methods, "--overwrite", "failed")
    assert (said.code, said.lines[-1]) == (0, f"{len(failed)} cells computed, {5 - len(failed)} found finished")
    files = command.files()
    cells = {name: data for name, data in whole.files().items() if name.startswith("cells/")}
    assert {name: files[name] for name in cells} == cells
    finished = command.manifest("trainings", "distillation")["provenance"]["finished"]

    said = command(methods, "--overwrite", "always")
    assert (said.code, said.lines[-1]) == (0, "5 cells computed, 0 found finished")
    assert command.files() == files
    assert command.manifest("trainings", "distillation")["provenance"]["finished"] > finished


CASES = [
    pytest.param(flip_a_bit, "distillation", id="a flipped bit in files of one method"),
    *(pytest.param(harm, "", id=name, marks=pytest.mark.slow) for name, harm in HARM.items()),
]


def stored(results: Path) -> list[Path]:
    """Every stored file that is not derived from the others and not empty."""
    return [path for kind in ("cells", "trainings") for path, data in sorted(contents(results / kind).items()) if data]


@pytest.mark.parametrize(("harm", "only"), CASES)
def test_any_damage_is_noticed_and_repaired_and_takes_nothing_along(
    again: Command, whole: Command, harm: Callable[[Path], None], only: str
) -> None:
    """Every stored file in turn: what reads leaves the cell out with a line, what runs ends in the same files."""
    before = stored(again.results)
    for path in before:
        kind, cell = path.relative_to(again.results).parts[:2]
        if not cell.startswith(only):
            continue
        harm(path)
        method = cell.split(".")[0]
        lost = kind == "cells"
        said = again.leaderboard()
        gone = lost and (path.name != MANIFEST or path.exists())
        assert (said.code, sum("left out: " in line for line in said.lines)) == (0, int(gone)), path
        assert rows(again.results) == [row for row in rows(whole.results) if not (lost and row["method"] == method)]
        if RETRIEVER in path.parts:  # it is read by the next evaluation only
            shutil.rmtree(again.entry("cells", method))
        said = again("distillation", "--quiet")
        assert said.code == 0 and (not gone or f"{path} " in said.line("; it is computed again")), path
        assert again.files() == whole.files(), path
        if not lost:
            shutil.rmtree(again.results / kind / cell)
            shutil.rmtree(again.entry("cells", method))
            assert again("distillation", "--quiet").code == 0
    assert stored(again.results) == before


def test_damaged_checkpoint_starts_the_training_again(
    command: Command, whole: Command, interrupted_at_checkpoint: Callable[[], AbstractContextManager[None]]
) -> None:
    with interrupted_at_checkpoint():
        assert command("distillation").code == 130
    path = command.entry("trainings", "distillation") / CHECKPOINT
    flip_a_bit(path)
    said = command("distillation")
    assert said.code == 0
    assert f"{path} is damaged; it starts again" in said.line("is damaged")
    assert command.files() == whole.files()


PROCESSES = multiprocessing.get_context("forkserver")  # children of a process that has imported everything once
PROCESSES.set_forkserver_preload(
    ["bench.running.work", "bench.report.leaderboard", "transformers.models.bert.modeling_bert", "methods.optical"]
)
VOLATILE = {MANIFEST, LOG, "state.json", "cost.csv", "leaderboard.md", "said.txt"}
"""Files that tell times."""


@dataclass(frozen=True)
class Place:
    """The folder of a run, with its results, its cache and its output."""

    root: Path

    @property
    def said(self) -> str:
        return (self.root / "said.txt").read_text()

    def files(self) -> dict[str, bytes]:
        """Return the content of the files whose bytes must be the same in every run, by path."""
        return {
            str(path.relative_to(self.root)): data
            for path, data in contents(self.root).items()
            if path.name not in VOLATILE and path.suffix != ".tmp"
        }

    def entries(self) -> list[Path]:
        return [*self.root.glob("results/trainings/*"), *self.root.glob("results/cells/*")]

    def unfinished(self) -> list[Path]:
        return [folder for folder in self.entries() if not (folder / MANIFEST).is_file()]

    def steps(self) -> list[int]:
        """The steps of distillation that were logged so far."""
        logs = self.root.glob(f"results/trainings/distillation.*/{LOG}")
        return [step for log in logs for step in steps_of(log)]


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
        patch.setattr("bench.evaluation.retrieval.search", slowed(search, 0.08))
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


def whole_run(bench: Bench, place: Place, *methods: str, **changes: Any) -> tuple[dict[str, bytes], float]:
    """Return the files of a run that is not killed, and the seconds from the first training to the last file."""
    process = start(bench, place, *methods, **changes)
    started = wait_for_work(process, place)
    process.join()
    assert process.exitcode == 0, place.said
    return place.files(), (place.root / "results" / "leaderboard.md").stat().st_mtime - started


def check_nothing_is_half(place: Place, whole: dict[str, bytes]) -> None:
    """Check that each file of a killed run is complete if it has its final name."""
    unfinished = place.unfinished()
    for name, data in place.files().items():
        path = place.root / name
        if any(folder / RETRIEVER in path.parents for folder in unfinished):
            continue  # files within a folder that counts only when the manifest beside it is there
        if name in whole:
            assert data == whole[name], name
        elif path.name == CHECKPOINT:
            assert safetensors.torch.load(read_sealed(path))
        else:
            assert np.load(BytesIO(data)).dtype == np.float32, name
    for folder in place.entries():
        if folder not in unfinished:
            assert read_manifest(folder)["fingerprint"]


def check_nothing_was_lost(place: Place, whole: dict[str, bytes]) -> None:
    """After the same command again all is as if it had never been killed."""
    files = place.files()
    assert files.keys() == whole.keys()
    assert [name for name, data in files.items() if data != whole[name]] == []
    assert place.unfinished() == []
    assert [path for folder in place.entries() for path in folder.rglob(".*.tmp")] == []
    for log in place.root.glob(f"results/trainings/*/{LOG}"):
        steps = steps_of(log)
        assert steps == list(range(1, len(steps) + 1))


@pytest.mark.parametrize(
    ("kills", "methods", "steps"), [(3, ["distillation"], 2), pytest.param(30, METHODS, 4, marks=pytest.mark.slow)]
)
def test_killed_run_ends_in_the_same_bytes(
    bench: Bench, tmp_path: Path, kills: int, methods: Sequence[str], steps: int
) -> None:
    """The runs are killed at random moments of equal parts of the duration of a whole run."""
    budget, draw = Budget(steps, "steps"), random.Random(0).random
    whole, seconds = whole_run(bench, Place(tmp_path / "run"), *methods, budget=budget)
    assert {"results/leaderboard.csv", "results/leaderboard-wide.csv"} < whole.keys()
    assert sum(name.endswith((RUN, SCORES)) for name in whole) == 2 * (len(methods) + len(REFERENCES))
    killed = 0
    for number in range(kills):
        place = Place(tmp_path / f"run{number}")
        process = start(bench, place, *methods, budget=budget)
        wait_for_work(process, place)
        process.join(seconds * (number + draw()) / kills)
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        check_nothing_is_half(place, whole)
        again = start(bench, place, *methods, budget=budget)
        again.join()
        assert again.exitcode == 0, place.said
        check_nothing_was_lost(place, whole)
    assert killed


@pytest.mark.slow
def test_killed_training_of_some_seconds_ends_and_says_what_it_reached(bench: Bench, tmp_path: Path) -> None:
    """Its bytes depend on the clock, so they are not compared."""
    place = Place(tmp_path / "run")
    process = start(bench, place, "distillation", budget=Budget(2, "seconds"))
    while len(place.steps()) < 5:
        assert process.is_alive(), place.said
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = start(bench, place, "distillation", budget=Budget(2, "seconds"))
    again.join()
    assert again.exitcode == 0, place.said
    assert "continuing from step" in place.said
    steps = place.steps()
    assert steps == list(range(1, len(steps) + 1))
    (folder,) = place.root.glob("results/trainings/distillation.*")
    cost = read_manifest(folder)["cost"]
    assert cost["trained_steps"] == len(steps) > 5
    assert 2 <= cost["trained_seconds"] <= cost["seconds"]


def test_two_runs_at_once_compute_each_cell_once(bench: Bench, tmp_path: Path) -> None:
    whole, _ = whole_run(bench, Place(tmp_path / "alone"), *METHODS)
    place = Place(tmp_path / "shared")
    processes = [start(bench, place, *METHODS) for _ in range(2)]
    manifests: dict[Path, int] = {}
    while any(process.is_alive() for process in processes):
        for path in place.root.glob(f"results/*/*/{MANIFEST}"):
            assert manifests.setdefault(path, path.stat().st_ino) == path.stat().st_ino, f"{path} was written twice"
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0, 0], place.said
    cells = len(METHODS) + len(REFERENCES)
    counts = re.findall(r"^(\d+) cells computed, (\d+) found finished$", place.said, re.MULTILINE)
    computed, found = ([int(count) for count in column] for column in zip(*counts, strict=True))
    assert (sum(computed), sum(found)) == (cells, cells)
    assert min(computed) > 0, f"one process did it all: {computed}"
    assert len(manifests) == 2 * cells
    assert place.said.count(": trained ") == len(METHODS)
    assert place.files() == whole
