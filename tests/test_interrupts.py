"""Ctrl-C: the step is finished and saved, and the same command goes on from there."""

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

import pytest
from safetensors.torch import load
from small_bench import Command, steps_of

from bench.results.store import CHECKPOINT, LOG
from bench.storage.sealed import MANIFEST, read_sealed


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
def test_interrupted_command_finishes_its_step_and_goes_on_from_there(misbehaving: Command, tmp_path: Path) -> None:
    command, errors = misbehaving, tmp_path / "errors.txt"
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
