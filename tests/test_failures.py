"""What goes wrong is told in one line with the right exit code, and costs nothing that was finished."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cells import reseal
from safetensors.torch import load
from small_bench import REFERENCES, Command, contents, rows, steps_of

from bench.encoders.encoder import read_encoder
from bench.results.store import CHECKPOINT, FAILURE, LOG, RETRIEVER, RUN
from bench.spec import RunSpec
from bench.storage.sealed import MANIFEST, read_sealed

PLUGIN = '''
import itertools
import os
import signal
import time
from pathlib import Path

import torch
from bench.api import DualEncoder, Method, TrainedMethod
from methods.distillation import Distillation
from methods.references import ZeroShot


class Fails(TrainedMethod):
    """Its second step has an error."""

    error = RuntimeError("as it must\\nwith details")

    def batches(self, rng):
        return itertools.repeat({})

    def loss(self, batch, progress):
        if progress > 0:
            raise self.error
        return self.student.word_embeddings.weight.sum(), {}


class RunsOutOfMemory(Fails):
    error = MemoryError()


class Allocates(Fails):
    error = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    )


class AllocatesOnGpu(Fails):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


class Diverges(Fails):
    """Has no loss at its second step."""

    def loss(self, batch, progress):
        return self.student.word_embeddings.weight.sum() * (float("nan") if progress > 0 else 1.0), {}


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


class EmbedsNothing(Method):
    """Its embeddings are no numbers, and must not be ranked."""

    def fit(self, task):
        student = task.make_student()
        with torch.no_grad():
            student.word_embeddings.weight.fill_(float("nan"))
        return DualEncoder(student, task.teacher)


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
FAILS = {
    "Fails": "RuntimeError: as it must (",
    "Diverges": "the loss is nan",
    **dict.fromkeys(("RunsOutOfMemory", "Allocates", "AllocatesOnGpu"), "out of memory; a training needs less with a"),
    **dict.fromkeys(
        ("Sleeps", "Swallows", "GoesOnRegardless"),
        "no sign of life for 1 s, so it was given up; --timeout 2s would",
    ),
}
"""Methods whose training fails, and what they are said to have failed by."""


@pytest.fixture(scope="module", autouse=True)
def plugin(whole: Command) -> None:
    (whole.folder / "plugin.py").write_text(PLUGIN)


def test_a_method_that_fails_is_recorded_and_the_others_finish(command: Command) -> None:
    said = command(" ".join((*FAILS, "EmbedsNothing", "distillation")), "--timeout", "1s")
    assert said.code == 1
    for method, reason in FAILS.items():
        assert reason in said.line(f"FAILED {method}.")
        traceback = (command.entry("trainings", method) / FAILURE).read_text()
        assert traceback.startswith("Traceback")
        assert "plugin.py" in traceback or method == "Diverges"  # where it was
        assert not (command.entry("trainings", method) / MANIFEST).exists()
        assert method not in said.out
    assert "a query embedding is not a number" in said.line("FAILED EmbedsNothing.")
    assert (command.entry("cells", "EmbedsNothing") / FAILURE).exists()
    assert command.methods() == {"distillation", *REFERENCES}
    again = command("Fails distillation")
    assert (again.code, again.lines[-1]) == (1, "0 cells computed, 4 found finished, 1 FAILED")


@pytest.mark.parametrize("budget", ["2steps", "20tokens", "1seconds"])
def test_method_that_goes_on_after_its_budget_is_stopped(
    command: Command, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = SimpleNamespace(perf_counter=lambda: 10 * time.perf_counter(), process_time=time.process_time)
    monkeypatch.setattr("bench.running.callbacks.time", fast)
    said = command("GoesOn", "--timeout", "1s", budget=budget)
    assert said.code == 1
    assert f"it made a step after its budget of {budget} was spent" in said.line("FAILED GoesOn.")
    steps = steps_of(command.entry("trainings", "GoesOn") / LOG)
    assert len(steps) > 9 if budget == "1seconds" else len(steps) == 2
    assert command.methods() == {*REFERENCES}


def test_method_that_trains_its_teacher_harms_only_itself(command: Command, whole: Command) -> None:
    assert command("Meddles distillation").code == 0
    assert [row for row in rows(command.results) if row["method"] != "Meddles"] == rows(whole.results)
    cells = {
        name: data for name, data in command.files().items() if name.startswith("cells/") and "Meddles" not in name
    }
    assert cells == {name: data for name, data in whole.files().items() if name.startswith("cells/")}
    for method in ("distillation", *REFERENCES):
        assert command.manifest("trainings", method)["teacher"] == {"drift": 0, "trainable": 0}
    changed = command.manifest("trainings", "Meddles")["teacher"]
    assert changed["drift"] > 0.01
    assert changed["trainable"] == sum(weights.numel() for weights in read_encoder(whole.encoder, "small").parameters())

    # It encodes the documents of its own method, also when it is read again.
    cell, saved = command.entry("cells", "Meddles"), command.entry("trainings", "Meddles") / RETRIEVER
    made = (cell / RUN).read_bytes()
    places = json.loads((saved / "retriever.json").read_text())
    assert (places["query"], places["document"]) == ("query", "document")
    assert read_encoder(saved / "document", "small").fingerprint() != places["teacher"]["fingerprint"]
    for change in ({}, {"document": "teacher"}):
        (saved / "retriever.json").write_text(json.dumps({**places, **change}))
        reseal(saved.parent)
        command.forget("cells", "Meddles")
        assert command("Meddles").code == 0
        assert ((cell / RUN).read_bytes() == made) == (not change)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("[method.optical]\nepsilom = 0.1", "method 'optical': unknown key 'epsilom'; did you mean epsilon?"),
        (
            "[method.optical]\ndocuments = 'student'",
            "method 'optical': key 'documents' is now called 'document_encoder'",
        ),
        ("[method.optical]\nepsilon = -1", "method 'optical': epsilon = -1: Input should be greater than 0"),
        ("[recipe]\nbatchsize = 8", "recipe: unknown key 'batchsize'; did you mean batch_size?"),
        ("[recipe]\nbatch_size = 0", "recipe: batch_size = 0: Input should be greater than 0"),
    ],
)
def test_setting_that_does_not_fit_is_refused(command: Command, tmp_path: Path, setting: str, complaint: str) -> None:
    (tmp_path / "mine.toml").write_text(setting)
    said = command("optical", "--quiet", "--config", str(tmp_path / "mine.toml"))
    assert (said.code, said.lines) == (2, [f"bench: {complaint}"])
    assert not command.results.exists()


def test_rows_with_other_settings_are_other_trainings_and_say_so(command: Command) -> None:
    assert command("optical optical:epsilon=0.5").code == 0
    assert command("optical", "--set", "recipe.batch_size=8").code == 0
    found = [row for row in rows(command.results) if row["method"] == "optical"]
    assert {row["config"] for row in found} == {"", "epsilon=0.5", "recipe.batch_size=8"}
    assert len({row["cell"] for row in found}) == 3
    manifests = contents(command.results / "trainings", MANIFEST).values()
    specs = [
        spec for spec in (RunSpec.parse(json.loads(each)["spec"]) for each in manifests) if spec.method == "optical"
    ]
    settings = {(spec.columns["config"], dict(spec.methods[0].settings)["epsilon"]) for spec in specs}
    assert settings == {("", 0.05), ("epsilon=0.5", 0.5), ("recipe.batch_size=8", 0.05)}
    assert {dict(spec.recipe.settings)["batch_size"] for spec in specs} == {64, 8}


def test_stored_configuration_asks_for_the_same_again(command: Command) -> None:
    more = ("--set", "recipe.batch_size=8", "--set", "method.optical.tolerance=0.001", "--seeds", "1")
    assert command("optical optical:epsilon=0.5", *more).code == 0
    (path,) = (command.results / "configurations").iterdir()
    for manifest in contents(command.results, MANIFEST).values():
        assert json.loads(manifest)["configuration"] == f"configurations/{path.name}"
    before = contents(command.results)
    said = command.call("run", "--config", str(path))
    assert said.code == 0
    assert said.lines[-1].startswith("nothing to compute: all 5 cells are finished already")
    assert contents(command.results) == before


# Ctrl-C


@pytest.mark.parametrize(("method", "kept"), [("Deaf", CHECKPOINT), ("DeafWithoutSteps", MANIFEST)])
def test_interrupt_that_is_swallowed_is_obeyed_at_the_next_step_or_cell(
    command: Command, method: str, kept: str
) -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    try:
        said = command(f"{method} distillation", budget="3steps")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    assert said.code == 130
    assert said.lines[-1].startswith("bench: interrupted; what is finished is kept")
    assert (command.entry("trainings", method) / kept).exists()
    assert not list(command.results.glob(f"cells/{method}.*"))
    assert not list(command.results.glob("*/distillation.*"))
    assert command("zero-shot").code == 0  # forgotten by then


@contextmanager
def started(command: Command, errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`bench run` of 30 slow steps in a process of its own; one thread, as in this process."""
    line = [Path(sys.executable).with_name("bench"), *command.arguments("Waits", "--threads", "1", budget="30steps")]
    with errors.open("w") as file, subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=file) as process:
        yield process


def wait(process: subprocess.Popen[bytes], until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(command: Command) -> int:
    """The number of steps in the log."""
    return sum(len(steps_of(log)) for log in command.results.glob(f"trainings/Waits.*/{LOG}"))


@pytest.mark.slow
def test_interrupted_command_finishes_its_step_and_goes_on_from_there(command: Command, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    with started(command, errors) as process:
        wait(process, lambda: logged(command) >= 20)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert errors.read_text().splitlines()[-2:] == [
        "bench: finishing the step and saving; press Ctrl-C again to stop at once",
        "bench: interrupted; what is finished is kept, the same command goes on from there",
    ]
    steps = logged(command)
    tensors = load(read_sealed(command.entry("trainings", "Waits") / CHECKPOINT))
    assert json.loads(bytes(tensors["about"].tolist()))["spent"]["steps"] == steps < 30
    with started(command, errors) as process:
        pass
    assert process.returncode == 0
    assert f"Waits.qaa-eng.small.seed0: going on from step {steps}\n" in errors.read_text()
    uninterrupted = replace(command, results=tmp_path / "uninterrupted")
    assert uninterrupted("Waits", "--threads", "1", budget="30steps").code == 0
    assert command.files() == uninterrupted.files()
    assert command.manifest("trainings", "Waits")["cost"]["seconds"] > 30 * 0.05  # of both attempts


@pytest.mark.slow
def test_command_that_is_interrupted_twice_stops_at_once(command: Command, tmp_path: Path) -> None:
    errors, hour = tmp_path / "errors.txt", command.folder / "hour"
    hour.touch()
    try:
        with started(command, errors) as process:
            wait(process, lambda: logged(command) == 19)
            process.send_signal(signal.SIGINT)
            wait(process, lambda: "press Ctrl-C again" in errors.read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
    finally:
        hour.unlink()
    assert errors.read_text().splitlines()[-1].startswith("bench: interrupted; what is finished is kept")
    assert not (command.entry("trainings", "Waits") / CHECKPOINT).exists()
    assert len(contents(command.results / "cells", MANIFEST)) == len(REFERENCES)
