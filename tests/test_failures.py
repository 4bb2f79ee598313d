"""What goes wrong is told in one line with the right exit code, and costs nothing that was finished."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from cells import reseal
from safetensors.torch import load

from bench.cli import main
from bench.encoders.encoder import read_encoder
from bench.results.store import FAILURE
from bench.sealed import read_sealed
from bench.spec import RunSpec
from bench.training.checkpoint import Checkpoint

REFERENCES = {"zero-shot", "untrained", "oracle"}
OPTIONS = "{ scale = 0.05, test_queries = 20, test_passages = 1200, dev_queries = 10, dev_passages = 400 }"
CARD = f"""
name = "small"
description = "the generated collection, a twentieth of its size"
licence = "none"
data = [
    {{ role = "test", format = "conlang", pairs = ["qaa-eng"], options = {OPTIONS} }},
    {{ role = "bitext", format = "conlang", pairs = ["qaa-eng"], options = {OPTIONS} }},
]
"""
PLUGIN = '''
import itertools
import os
import signal
import time
from pathlib import Path

from bench.api import Method, Retriever, TrainedMethod
from methods.distillation import Distillation
from methods.references import ZeroShot


class Raises(TrainedMethod):
    """Its second step has an error that is not its fault."""

    error = MemoryError()

    def batches(self, rng):
        return itertools.repeat({})

    def loss(self, batch, progress):
        if progress > 0:
            raise self.error
        return self.student.word_embeddings.weight.sum(), {}


class Allocates(Raises):
    error = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    )


class AllocatesOnGpu(Raises):
    from torch import OutOfMemoryError

    error = OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


class Sleeps(Method):
    """Never returns, or not before a test of it has failed."""

    def fit(self, task):
        time.sleep(15)


class Swallows(Method):
    """Never returns, whatever is raised in it."""

    def fit(self, task):
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                time.sleep(0.01)
            except Exception:
                pass


class Deaf(Distillation):
    """Is interrupted before its first step, and swallows it."""

    def prepare(self, task, student):
        super().prepare(task, student)
        try:
            os.kill(os.getppid(), signal.SIGINT)  # that of the call, which passes it on
            time.sleep(5)
        except BaseException:
            pass


class DeafWithoutSteps(Method):
    """The same, of a method that is not trained step by step."""

    def fit(self, task):
        try:
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(5)
        except BaseException:
            return ZeroShot().fit(task)


class GoesOn(Method):
    """Never stops making steps."""

    def fit(self, task):
        for step in range(1, 1500):
            time.sleep(0.01)
            self.tell(task, {"step": step, "share": 0.0, "loss": 0.0, "tokens": 10 * step})

    def tell(self, task, record):
        task.on_step(record)


class GoesOnRegardless(GoesOn):
    """Never stops making steps, whatever it is told."""

    def tell(self, task, record):
        try:
            task.on_step(record)
        except Exception:
            pass


class Waits(Distillation):
    """Takes its time, and for its 20th step an hour if there is a file `hour` beside this one."""

    def loss(self, batch, progress):
        self.step = getattr(self, "step", 0) + 1
        time.sleep(3600 if self.step == 20 and Path(__file__).with_name("hour").exists() else 0.05)
        return super().loss(batch, progress)


class Meddles(Distillation):
    """Trains the teacher along with the student."""

    def prepare(self, task, student):
        super().prepare(task, student)
        task.teacher.requires_grad_(True)

    def modules(self):
        return [(self.task.teacher, 0.1)]

    def loss(self, batch, progress):
        loss, figures = super().loss(batch, progress)
        return loss + self.task.teacher.word_embeddings.weight.square().mean(), figures
'''


@dataclass(frozen=True)
class Said:
    """What a call printed, and its exit code."""

    code: int
    out: str
    lines: list[str]
    """On stderr."""

    def line(self, *words: str) -> str:
        """The only line with all these words."""
        (line,) = [line for line in self.lines if all(word in line for word in words)]
        return line


@dataclass(frozen=True)
class Bench:
    """`bench run`, called in this process with the small encoder and collection."""

    folder: Path
    encoder: Path
    results: Path
    capture: pytest.CaptureFixture[str] | None = None

    def arguments(self, methods: str, *more: str, budget: str = "2steps") -> list[str]:
        """Of `bench run`; methods of the plugin go by the names of their classes."""
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

    def rows(self, file: str = "leaderboard-wide.csv") -> list[dict[str, str]]:
        with (self.results / file).open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))

    def methods(self) -> set[str]:
        return {row["method"] for row in self.rows()}

    def entry(self, kind: str, method: str) -> Path:
        (folder,) = (self.results / kind).glob(f"{method}.*")
        return folder

    def manifest(self, kind: str, method: str) -> dict[str, Any]:
        return dict(json.loads((self.entry(kind, method) / "manifest.json").read_text()))

    def files(self) -> dict[str, bytes]:
        """What must be the same bytes however it came about."""
        patterns = ("leaderboard.csv", "leaderboard-wide.csv", "cells/*/run.trec.gz", "cells/*/scores.csv.gz")
        paths = [path for pattern in patterns for path in self.results.glob(pattern)]
        return {str(path.relative_to(self.results)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A finished comparison of one method and the reference rows. No test changes it."""
    folder = tmp_path_factory.mktemp("failures")
    (folder / "cards").mkdir()
    (folder / "cards" / "small.toml").write_text(CARD)
    (folder / "plugin.py").write_text(PLUGIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.results.provenance.package_commit", dict)  # asking git takes longer than all the rest
        bench = Bench(folder, encoder_folder, folder / "results")
        assert bench("distillation").code == 0
        yield bench


@pytest.fixture
def bench(whole: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """The same with results of its own."""
    return replace(whole, results=tmp_path / "results", capture=capsys)


@pytest.fixture
def again(whole: Bench, bench: Bench) -> Bench:
    """The same with a copy of the finished results."""
    shutil.copytree(whole.results, bench.results)
    return bench


# Methods that misbehave


def test_method_out_of_memory_is_told_what_needs_less(bench: Bench) -> None:
    methods = ("Raises", "Allocates", "AllocatesOnGpu")
    said = bench(" ".join((*methods, "distillation")))
    assert said.code == 1
    for method in methods:
        line = said.line(f"FAILED {method}.")
        assert "out of memory" in line
        assert "--set recipe.batch_size=" in line
        assert (bench.entry("trainings", method) / FAILURE).read_text().startswith("Traceback")
    assert bench.methods() == {"distillation", *REFERENCES}


def test_method_that_never_returns_is_given_up(bench: Bench) -> None:
    methods = ("Sleeps", "Swallows", "GoesOnRegardless")
    said = bench(" ".join((*methods, "distillation")), "--patience", "1s")
    assert said.code == 1
    for method in methods:
        assert "no sign of life for 1 s, so it was given up; --patience 2s would" in said.line(f"FAILED {method}.")
        assert "plugin.py" in (bench.entry("trainings", method) / FAILURE).read_text()  # where it was
    assert bench.methods() == {"distillation", *REFERENCES}


@pytest.mark.parametrize("budget", ["2steps", "20tokens", "1seconds"])
def test_method_that_goes_on_after_its_budget_is_stopped(
    bench: Bench, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(
        perf_counter=lambda: 10 * time.perf_counter(), process_time=time.process_time
    )  # ten times as fast
    monkeypatch.setattr("bench.running.observer.time", clock)
    said = bench("GoesOn", "--patience", "1s", budget=budget)
    assert said.code == 1
    assert f"it goes on although its budget of {budget} is spent" in said.line("FAILED GoesOn.")
    log = (bench.entry("trainings", "GoesOn") / "log.jsonl").read_text().splitlines()
    assert len(log) > 9 if budget == "1seconds" else len(log) == 2
    assert bench.methods() == REFERENCES


def test_method_that_trains_its_teacher_harms_only_itself(bench: Bench, whole: Bench) -> None:
    assert bench("Meddles distillation").code == 0
    board = (bench.results / "leaderboard.csv").read_bytes().splitlines()
    assert [line for line in board if not line.startswith(b"Meddles")] == (
        (whole.results / "leaderboard.csv").read_bytes().splitlines()
    )
    cells = {name: data for name, data in bench.files().items() if name.startswith("cells/") and "Meddles" not in name}
    assert cells == {name: data for name, data in whole.files().items() if name.startswith("cells/")}
    for method in ("distillation", *REFERENCES):
        assert bench.manifest("trainings", method)["teacher"] == {"drift": 0, "trainable": 0}
    changed = bench.manifest("trainings", "Meddles")["teacher"]
    assert changed["drift"] > 0.01
    assert changed["trainable"] == sum(weights.numel() for weights in read_encoder(whole.encoder, "small").parameters())


def test_teacher_that_was_trained_encodes_the_documents_of_its_own_method(bench: Bench) -> None:
    assert bench("Meddles").code == 0
    cell, saved = bench.entry("cells", "Meddles"), bench.entry("trainings", "Meddles") / "retriever"
    made = (cell / "run.trec.gz").read_bytes()
    places = json.loads((saved / "retriever.json").read_text())
    assert (places["query"], places["document"]) == ("query", "document")
    assert read_encoder(saved / "document", "small").fingerprint() != places["teacher"]["fingerprint"]

    def made_again() -> bytes:
        (cell / "manifest.json").unlink()
        assert bench("Meddles").code == 0
        return (cell / "run.trec.gz").read_bytes()

    assert made_again() == made
    (saved / "retriever.json").write_text(json.dumps({**places, "document": "teacher"}))
    reseal(saved.parent)
    assert made_again() != made


# Disks that are full or cannot be written


class Disk(Protocol):
    folder: Path

    def fill(self, file: str, leave: int) -> None:
        """Leave so many bytes, or none for this file."""

    def free(self) -> None: ...


@dataclass(frozen=True)
class RealDisk:
    """A small file system of its own."""

    folder: Path

    def fill(self, file: str, leave: int) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 16))
            except OSError as error:
                assert error.errno == errno.ENOSPC
            filler.truncate(filler.tell() - leave)

    def free(self) -> None:
        (self.folder / "filler").unlink()


@dataclass(frozen=True)
class SimulatedDisk:
    """A folder with no room for files of one name."""

    folder: Path
    patch: pytest.MonkeyPatch

    def fill(self, file: str, leave: int) -> None:
        usual = Path.open

        def full(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
            if "w" in mode and file in path.name and path.is_relative_to(self.folder):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return usual(path, mode, *more, **options)

        self.patch.setattr(Path, "open", full)

    def free(self) -> None:
        self.patch.undo()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB in memory; skips the test where none can be mounted."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "real":
        yield RealDisk(request.getfixturevalue("mounted"))
    else:
        (tmp_path / "disk").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            yield SimulatedDisk(tmp_path / "disk", patch)


def test_disk_that_is_full_at_a_checkpoint_costs_one_training(
    bench: Bench, whole: Bench, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "due", True)
    bench = replace(bench, results=disk.folder / "results")
    assert bench("zero-shot").code == 0
    before = bench.files()
    disk.fill("checkpoint.safetensors", leave=300_000)
    said = bench("distillation")
    assert said.code == 1
    assert "No space left on device" in said.line("FAILED distillation.", "checkpoint.safetensors")
    assert bench.files() == before
    disk.free()
    assert bench("distillation").code == 0
    assert bench.files() == whole.files()


def test_disk_that_is_full_at_the_embedding_cache_costs_only_time(
    bench: Bench, whole: Bench, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(disk.folder / "home"))
    disk.fill("00000.npy", leave=0)
    assert bench("distillation").code == 0
    assert bench.files() == whole.files()


def test_disk_that_is_full_at_the_leaderboard_leaves_the_old_one(bench: Bench, whole: Bench, disk: Disk) -> None:
    bench = replace(bench, results=disk.folder / "results")
    assert bench("distillation").code == 0
    (bench.results / "leaderboard.csv").write_text("old\n")
    disk.fill("leaderboard.csv", leave=0)
    said = bench("distillation")
    assert said.code == 1
    path = bench.results / "leaderboard.csv"
    assert said.line("bench: ") == (
        f"bench: No space left on device: {path}; what is finished is kept, the same command goes on from there"
    )
    assert path.read_text() == "old\n"
    disk.free()
    assert bench("distillation").code == 0
    assert bench.files() == whole.files()


def test_results_folder_below_a_file_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    said = replace(bench, results=tmp_path / "file" / "results")("distillation", "--quiet")
    assert (said.code, len(said.lines)) == (2, 1)
    line = said.line(f"bench: the results folder {tmp_path}/file/results cannot be made: ")
    assert line.endswith("; choose another with --results")


def check_refused(bench: Bench) -> None:
    """Results are neither added to those that are there, nor put into a new folder beside them."""
    for folder, problem in ((bench.results, "cannot be written"), (bench.results / "new", "cannot be made")):
        said = replace(bench, results=folder)("optical", "--quiet")
        assert (said.code, len(said.lines)) == (2, 1)
        assert said.line(f"bench: the results folder {folder} {problem}").endswith("; choose another with --results")


def test_results_on_a_read_only_disk_are_refused(bench: Bench, whole: Bench, mounted: Path) -> None:
    bench = replace(bench, results=mounted / "results")
    shutil.copytree(whole.results, bench.results)
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    check_refused(bench)
    assert bench.files() == whole.files()


# What is computed again


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        ("methods.distillation.Distillation.loss", {"distillation"}),
        ("bench.running.work.write_run", {"distillation", *REFERENCES}),
    ],
    ids=["training", "evaluation"],
)
def test_overwrite_says_what_is_computed_again(bench: Bench, whole: Bench, broken: str, failed: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broken, lambda *arguments, **more: 1 / 0)
        assert bench("distillation").code == 1
    said = bench("distillation optical", "--overwrite", "never")
    assert said.code == 1
    assert {line.split()[3].split(".")[0] for line in said.lines if "FAILED before: " in line} == failed
    assert "--overwrite failed tries it again" in said.line("FAILED before: distillation.")
    assert bench.methods() == {"distillation", "optical", *REFERENCES} - failed

    said = bench("distillation optical", "--overwrite", "failed")
    assert said.code == 0
    assert said.lines[-1] == f"{len(failed)} cells computed, {5 - len(failed)} found finished"
    files = bench.files()
    assert {name: data for name, data in files.items() if name in whole.files()}.keys() == whole.files().keys()
    assert all(files[name] == data for name, data in whole.files().items() if name.startswith("cells/"))
    finished = bench.manifest("trainings", "distillation")["provenance"]["finished"]

    said = bench("distillation optical", "--overwrite", "always")
    assert said.code == 0
    assert said.lines[-1] == "5 cells computed, 0 found finished"
    assert bench.files() == files
    assert bench.manifest("trainings", "distillation")["provenance"]["finished"] > finished


# Settings


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("[method.optical]\nepsilom = 0.1", "method 'optical': unknown key 'epsilom'; did you mean epsilon?"),
        ("[method.optical]\nepsilon = -1", "method 'optical': epsilon = -1: Input should be greater than 0"),
        ("[recipe]\nbatchsize = 8", "recipe: unknown key 'batchsize'; did you mean batch_size?"),
        ("[recipe]\nbatch_size = 0", "recipe: batch_size = 0: Input should be greater than 0"),
    ],
)
def test_setting_that_does_not_fit_is_refused(bench: Bench, tmp_path: Path, setting: str, complaint: str) -> None:
    (tmp_path / "mine.toml").write_text(setting)
    said = bench("optical", "--quiet", "--config", str(tmp_path / "mine.toml"))
    assert (said.code, said.lines) == (2, [f"bench: {complaint}"])
    assert not bench.results.exists()


def test_rows_with_other_settings_are_other_trainings_and_say_so(bench: Bench) -> None:
    assert bench("optical optical:epsilon=0.5").code == 0
    assert bench("optical", "--set", "recipe.batch_size=8").code == 0
    rows = [row for row in bench.rows("leaderboard.csv") if row["method"] == "optical"]
    assert {row["config"] for row in rows} == {"", "epsilon=0.5", "recipe.batch_size=8"}
    assert len({row["cell"] for row in rows}) == 3
    manifests = [json.loads(path.read_text()) for path in bench.results.glob("trainings/optical.*/manifest.json")]
    specs = [RunSpec.parse(each["spec"]) for each in manifests]
    settings = {(spec.columns["config"], dict(spec.methods[0].settings)["epsilon"]) for spec in specs}
    assert settings == {("", 0.05), ("epsilon=0.5", 0.5), ("recipe.batch_size=8", 0.05)}
    assert {dict(spec.recipe.settings)["batch_size"] for spec in specs} == {64, 8}


def test_stored_configuration_asks_for_the_same_again(bench: Bench) -> None:
    more = ("--set", "recipe.batch_size=8", "--set", "method.optical.tolerance=0.001", "--seeds", "1")
    assert bench("optical optical:epsilon=0.5", *more).code == 0
    (path,) = (bench.results / "configurations").iterdir()
    for entry in bench.results.glob("*/*/manifest.json"):
        assert json.loads(entry.read_text())["configuration"] == f"configurations/{path.name}"
    before = {path: path.read_bytes() for path in bench.results.rglob("*") if path.is_file()}
    said = bench.call("run", "--config", str(path))
    assert said.code == 0
    assert said.lines[-1].startswith("nothing to compute: all 5 cells are finished already")
    assert {path: path.read_bytes() for path in bench.results.rglob("*") if path.is_file()} == before


# Damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-20],
    "garbage": lambda data: b"garbage" * 99,
    "overwritten": lambda data: data[:40] + b"\xff" * 40 + data[80:],
}


def stored(results: Path) -> list[Path]:
    """Every stored file that is not derived from the others and not empty."""
    paths = (path for kind in ("cells", "trainings") for path in (results / kind).rglob("*") if path.is_file())
    return sorted(path for path in paths if path.stat().st_size)


HARM: dict[str, Callable[[Path], None]] = {
    "a flipped bit": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "truncation": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "an empty file": lambda path: path.write_bytes(b""),
    "a deleted file": lambda path: path.unlink(),
    "a directory in its place": lambda path: (path.unlink(), path.mkdir(), (path / "x").write_text("")),
}


def flipped(data: bytes) -> bytes:
    place = len(data) * 2 // 3
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(harm, id=name, marks=() if name == "a flipped bit" else pytest.mark.slow)
        for name, harm in HARM.items()
    ],
)
def test_any_damage_is_noticed_and_repaired_and_takes_nothing_along(
    again: Bench, whole: Bench, harm: Callable[[Path], None]
) -> None:
    """Every stored file in turn: what reads leaves the cell out with a line, what runs ends in the same files."""
    before = stored(again.results)
    board = (whole.results / "leaderboard.csv").read_text().splitlines()
    for path in before:
        harm(path)
        cell = path.relative_to(again.results).parts[1]
        of_cell = path.is_relative_to(again.results / "cells")
        said = again.call("leaderboard", "--results", str(again.results))
        shown = (again.results / "leaderboard.csv").read_text().splitlines()
        lines = [line for line in said.lines if "left out: " in line]
        gone = of_cell and (path.name != "manifest.json" or path.exists())
        assert (said.code, len(lines)) == (0, int(gone)), path
        method = cell.split(".")[0]
        assert shown == [line for line in board if not (of_cell and line.startswith(f"{method},"))], path
        if not of_cell and "retriever" in path.parts:  # the retriever is read by the next evaluation only
            shutil.rmtree(next((again.results / "cells").glob(f"{method}.*")))
        said = again("distillation", "--quiet")
        assert said.code == 0, path
        assert again.files() == whole.files(), path
        if not of_cell:
            shutil.rmtree(again.results / "trainings" / cell)
            shutil.rmtree(next((again.results / "cells").glob(f"{method}.*")))
            assert again("distillation", "--quiet").code == 0
    assert stored(again.results) == before


def test_exchanged_files_are_noticed(again: Bench, whole: Bench) -> None:
    one, other = again.entry("cells", "distillation"), again.entry("cells", "zero-shot")
    for name in ("run.trec.gz", "scores.csv.gz", "manifest.json"):
        first, second = (one / name).read_bytes(), (other / name).read_bytes()
        (one / name).write_bytes(second)
        (other / name).write_bytes(first)
        said = again.call("leaderboard", "--results", str(again.results))
        assert len([line for line in said.lines if "left out: " in line]) == 2
        assert again.methods() == {"untrained", "oracle"}
        assert again("distillation").code == 0
        assert again.files() == whole.files()


def test_a_shorter_run_is_noticed(again: Bench, whole: Bench) -> None:
    """A whole gzip file with fewer queries, and the measures that are added are those of the whole run."""
    path = again.entry("cells", "distillation") / "run.trec.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[: len(lines) // 2]), mtime=0))
    assert again("distillation", "--measures", "P@5").code == 0
    found = {row["method"]: row["P@5"] for row in again.rows()}
    fresh = replace(again, results=again.results.with_name("fresh"))
    assert fresh("distillation", "--measures", "P@5").code == 0
    assert found == {row["method"]: row["P@5"] for row in fresh.rows()}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_scores_are_made_again_from_the_run(
    again: Bench, whole: Bench, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    path = again.entry("cells", "distillation") / "scores.csv.gz"
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr("bench.running.work.evaluate", lambda *_, **__: pytest.fail("encodes"))
    said = again("distillation")
    assert said.code == 0
    assert f"{path} is damaged; it is computed again" in said.line("is damaged")
    assert again.files() == whole.files()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_starts_the_training_again(
    bench: Bench, whole: Bench, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(Checkpoint, "due", True)
    save = Checkpoint.save

    def dies(self: Checkpoint, *arguments: Any) -> None:
        save(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", dies)
        assert bench("distillation").code == 130
    path = bench.entry("trainings", "distillation") / "checkpoint.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    said = bench("distillation")
    assert said.code == 0
    assert f"{path} is damaged; it starts again" in said.line("is damaged")
    assert bench.files() == whole.files()


# Ctrl-C


def start(bench: Bench, errors: Path) -> subprocess.Popen[bytes]:
    """`bench run` in a process of its own; one thread, as in this process."""
    command = [Path(sys.executable).with_name("bench"), *bench.arguments("Waits", "--threads", "1", budget="30steps")]
    with errors.open("w") as file:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)


def wait(process: subprocess.Popen[bytes], until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(bench: Bench) -> int:
    """How many steps the log has."""
    return sum(log.read_text().count("\n") for log in bench.results.glob("trainings/Waits.*/log.jsonl"))


@pytest.mark.parametrize(
    ("method", "kept"), [("Deaf", "checkpoint.safetensors"), ("DeafWithoutSteps", "manifest.json")]
)
def test_interrupt_that_is_swallowed_is_obeyed_at_the_next_step_or_cell(bench: Bench, method: str, kept: str) -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    try:
        said = bench(f"{method} distillation", budget="3steps")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    assert said.code == 130
    assert said.lines[-1].startswith("bench: interrupted; what is finished is kept")
    assert (bench.entry("trainings", method) / kept).exists()
    assert not list(bench.results.glob(f"cells/{method}.*"))
    assert not list(bench.results.glob("*/distillation.*"))
    assert bench("zero-shot").code == 0  # forgotten by then


@pytest.mark.slow
def test_interrupted_command_finishes_its_step_and_goes_on_from_there(bench: Bench, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    process = start(bench, errors)
    wait(process, lambda: logged(bench) >= 20)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert errors.read_text().splitlines()[-2:] == [
        "bench: finishing the step and saving; press Ctrl-C again to stop at once",
        "bench: interrupted; what is finished is kept, the same command goes on from there",
    ]
    steps = logged(bench)
    tensors = load(read_sealed(bench.entry("trainings", "Waits") / "checkpoint.safetensors"))
    assert json.loads(bytes(tensors["about"].tolist()))["spent"]["steps"] == steps < 30
    again = start(bench, errors)
    assert again.wait() == 0
    assert f"Waits.qaa-eng.small.seed0: going on from step {steps}\n" in errors.read_text()
    uninterrupted = replace(bench, results=tmp_path / "uninterrupted")
    assert uninterrupted("Waits", "--threads", "1", budget="30steps").code == 0
    assert bench.files() == uninterrupted.files()
    assert bench.manifest("trainings", "Waits")["cost"]["seconds"] > 30 * 0.05  # of both attempts


@pytest.mark.slow
def test_command_that_is_interrupted_twice_stops_at_once(bench: Bench, tmp_path: Path) -> None:
    errors, hour = tmp_path / "errors.txt", bench.folder / "hour"
    hour.touch()
    try:
        process = start(bench, errors)
        wait(process, lambda: logged(bench) == 19)
        process.send_signal(signal.SIGINT)
        wait(process, lambda: "press Ctrl-C again" in errors.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    finally:
        hour.unlink()
    assert errors.read_text().splitlines()[-1].startswith("bench: interrupted; what is finished is kept")
    assert not (bench.entry("trainings", "Waits") / "checkpoint.safetensors").exists()
    assert len(list(bench.results.glob("cells/*/manifest.json"))) == len(REFERENCES)
