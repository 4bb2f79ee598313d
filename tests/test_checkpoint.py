"""A training that dies is resumed as if nothing had happened."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Died, MakeTask, dies_after

from bench.training.checkpoint import Checkpoint
from bench.training.method import Task
from methods.optical import Optical

STEPS = 8


@dataclass
class Fitted:
    """A training of 8 steps, and what it reported."""

    make_task: MakeTask
    fields: dict[str, Any]
    resumed_from: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        reports = {"on_step": self.records.append, "on_resume": self.resumed_from.append, **self.fields}
        self.task: Task = self.make_task(STEPS, recipe={"batch_size": 8, "dropout": 0.1}, **reports)
        self.student = Optical().fit(self.task).query_encoder.fingerprint()


@pytest.fixture
def fit(make_task: MakeTask) -> Callable[..., Fitted]:
    return lambda checkpoint=None, **fields: Fitted(make_task, {"checkpoint": checkpoint, **fields})


Fit = Callable[..., Fitted]


@pytest.mark.parametrize("last", [1, 2, 5, STEPS])
def test_resumed_training_ends_in_the_same_bytes(fit: Fit, tmp_path: Path, last: int) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0)
    with pytest.raises(Died):
        fit(checkpoint, on_step=dies_after(last))
    resumed, whole = fit(checkpoint), fit()
    assert resumed.resumed_from == [last - 1]
    assert [record["step"] for record in resumed.records] == list(range(last, STEPS + 1))
    assert resumed.student == whole.student
    spent, expected = resumed.task.outcome["spent"], whole.task.outcome["spent"]
    assert (spent.steps, spent.tokens, spent.bitext_rows) == (STEPS, expected.tokens, {"qaa-eng": 8 * STEPS})
    assert [record["examples"] for record in resumed.records] == [8 * step for step in range(last, STEPS + 1)]
    assert resumed.records[0]["seconds"] > 0
    assert spent.cpu_seconds >= (saved := checkpoint.load()[1].cpu_seconds)
    assert round(saved, 3) >= resumed.records[0]["cpu_seconds"] > 0  # records have three decimals


def test_first_interrupt_finishes_the_step_and_saves(fit: Fit, tmp_path: Path) -> None:
    def on_step(record: dict[str, Any]) -> None:
        if record["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=3600)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint, on_step=on_step)
    assert signal.getsignal(signal.SIGINT) is before
    resumed = fit(checkpoint)
    assert resumed.resumed_from == [3]
    assert resumed.student == fit().student


def test_no_checkpoint_is_written_before_it_is_due(fit: Fit, tmp_path: Path) -> None:
    fit(Checkpoint(tmp_path / "checkpoint.safetensors", interval=3600))
    assert list(tmp_path.iterdir()) == []


DAMAGES = {
    "flipped": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "truncated": lambda data: data[:-1],
    "empty": lambda data: b"",
}


def logged(log: Path, last: int, told: list[str]) -> Callable[[dict[str, Any]], None]:
    """Write each step to a log, and die at the last of them unless damage was reported."""

    def on_step(record: dict[str, Any]) -> None:
        with log.open("a") as file:
            file.write(f"{record['step']}\n")
        if record["step"] == last and not told:
            raise Died

    return on_step


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "log.jsonl"])
@pytest.mark.parametrize("damage", [*DAMAGES, "directory"])
def test_damaged_state_is_not_gone_on_from(fit: Fit, tmp_path: Path, name: str, damage: str) -> None:
    path, log, told = tmp_path / name, tmp_path / "log.jsonl", list[str]()
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0, log=log, on_damage=told.append)
    with pytest.raises(Died):
        fit(checkpoint, on_step=logged(log, 5, told))
    data = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[damage](data) if name != "log.jsonl" or damage == "flipped" else data[:3])
    resumed = fit(checkpoint, **({} if log.is_dir() else {"on_step": logged(log, 5, told)}))
    assert resumed.resumed_from == [0]
    (line,) = told
    assert line.endswith("; it starts again")
    assert resumed.student == fit().student
    assert log.is_dir() or log.read_text() == "".join(f"{step}\n" for step in range(1, STEPS + 1))


def test_log_is_cut_to_the_steps_of_the_checkpoint(fit: Fit, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0, log=log)
    with pytest.raises(Died):
        fit(checkpoint, on_step=logged(log, 3, []))
    assert log.read_text() == "1\n2\n3\n"  # the checkpoint is that of step 2
    with log.open("a") as file:
        file.write("3 and a half")
    fit(checkpoint)
    assert log.read_text() == "1\n2\n"
