"""Methods that fail or are interrupted: one line and the right exit code, and what is finished is kept."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cells import reseal
from plugins import FAILING_CELLS, FAILING_TRAININGS, MISBEHAVING
from safetensors.torch import load
from small_bench import REFERENCES, Command, rows, steps_of

from bench.encoders.folders import read_encoder
from bench.results.store import CHECKPOINT, FAILURE, LOG, RETRIEVER, RUN
from bench.storage.sealed import MANIFEST, read_sealed


def test_a_method_that_fails_is_recorded_and_the_others_finish(misbehaving: Command, whole: Command) -> None:
    command, fails = misbehaving, FAILING_TRAININGS | FAILING_CELLS
    said = command(" ".join((*fails, "Good", "Overwrites")), "--timeout", "2s")
    assert said.code == 1
    for method, reason in fails.items():
        assert reason in said.line(f" FAILED {method}.")
        assert method not in said.out
    for method in ("Fails", "RunsOutOfMemory", "Swallows", "Raises"):
        traceback = (command.entry("trainings", method) / FAILURE).read_text()
        assert traceback.startswith("Traceback")
        assert "plugin.py" in traceback  # where it was
        assert not (command.entry("trainings", method) / MANIFEST).exists()
    assert (command.entry("cells", "EmbedsNothing") / FAILURE).exists()
    assert said.lines[-1] == f"{len(REFERENCES) + 2} cells computed, 0 found finished, {len(fails)} FAILED"
    assert command.methods() == {"Good", "Overwrites", *REFERENCES}
    assert all(row in rows(whole.results) for row in rows(command.results) if row["method"] in REFERENCES)
    manifest = command.manifest("trainings", "Overwrites")  # what a plugin reports is stored separately
    assert manifest["outcome"]["fingerprint"] == "mine"
    assert (manifest["kind"], len(manifest["fingerprint"]), manifest["cost"]["seconds"] >= 0) == ("training", 64, True)
    again = command("Fails Good Overwrites")
    assert (again.code, again.lines[-1]) == (1, "0 cells computed, 5 found finished, 1 FAILED")


@pytest.mark.parametrize("budget", ["2steps", "1seconds"])
def test_method_that_goes_on_after_its_budget_is_stopped(misbehaving: Command, budget: str) -> None:
    command = misbehaving
    said = command("GoesOn", "--timeout", "3s", budget=budget)
    assert said.code == 1
    assert f"stopped, since it made a step after its budget of {budget}" in said.line("FAILED GoesOn.")
    steps = steps_of(command.entry("trainings", "GoesOn") / LOG)
    assert len(steps) > 9 if budget == "1seconds" else len(steps) == 2
    assert command.methods() == {*REFERENCES}


def test_method_that_trains_its_teacher_harms_only_itself(misbehaving: Command, whole: Command) -> None:
    command = misbehaving
    assert command("Meddles distillation").code == 0
    assert [row for row in rows(command.results) if row["method"] != "Meddles"] == rows(whole.results)
    files = {name: data for name, data in command.files().items() if "Meddles" not in name}
    assert all(files[name] == data for name, data in whole.files().items() if name.startswith("cells/"))
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


def test_a_module_that_ends_the_process_is_refused(misbehaving: Command, whole: Command) -> None:
    path = whole.folder / "ends.py"
    path.write_text(f"import os\nos._exit(0)\n{MISBEHAVING}")
    said = misbehaving(f"{path}:Good")
    assert (said.code, said.lines) == (2, ["bench: method 'Good': its process ended with exit code 0"])


@pytest.mark.parametrize(("method", "kept"), [("Deaf", CHECKPOINT), ("DeafWithoutSteps", MANIFEST)])
def test_interrupt_that_is_swallowed_is_obeyed_at_the_next_step_or_cell(
    misbehaving: Command, method: str, kept: str
) -> None:
    command = misbehaving
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    try:
        said = command(f"{method} distillation", budget="3steps")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    assert said.code == 130
    assert said.lines[-1].startswith("bench: interrupted; finished work is stored")
    assert (command.entry("trainings", method) / kept).exists()
    assert not list(command.results.glob(f"cells/{method}.*"))
    assert not list(command.results.glob("*/distillation.*"))
    assert command("zero-shot").code == 0  # forgotten by then


@contextmanager
def started(command: Command, errors: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`bench run` of 30 slow steps in a process of its own; one thread, as in this process."""
    arguments = command.arguments("Waits", "--threads", "1", *more, budget="30steps")
    line = [Path(sys.executable).with_name("bench"), *arguments]
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
def test_interrupted_command_finishes_its_step_and_goes_on_from_there(misbehaving: Command, tmp_path: Path) -> None:
    command, errors = misbehaving, tmp_path / "errors.txt"
    with started(command, errors) as process:
        wait(process, lambda: logged(command) >= 20)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert errors.read_text().splitlines()[-2:] == [
        "bench: finishing the step and saving; press Ctrl-C again to stop at once",
        "bench: interrupted; finished work is stored; the same command continues",
    ]
    steps = logged(command)
    tensors = load(read_sealed(command.entry("trainings", "Waits") / CHECKPOINT))
    assert json.loads(bytes(tensors["about"].tolist()))["spent"]["steps"] == steps < 30
    with started(command, errors) as process:
        pass
    assert process.returncode == 0
    assert f"Waits.qaa-eng.small.seed0: continuing from step {steps}\n" in errors.read_text()
    uninterrupted = replace(command, results=tmp_path / "uninterrupted")
    assert uninterrupted("Waits", "--threads", "1", budget="30steps").code == 0
    assert command.files() == uninterrupted.files()
    assert command.manifest("trainings", "Waits")["cost"]["seconds"] > 30 * 0.05  # of both attempts
