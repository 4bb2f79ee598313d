"""A training that dies is resumed as if nothing had happened."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.recipe import Budget
from bench.training.checkpoint import Checkpoint
from bench.training.loop import TrainedMethod
from bench.training.method import Task
from methods.adversarial import Adversarial, AdversarialConfig
from methods.distillation import Distillation
from methods.optical import Optical
from methods.posterior_alignment import PosteriorAlignment

RECIPE = {"batch_size": 8, "dropout": 0.1}
STEPS = 8


class Died(Exception):
    """Stands for a power cut."""


def dies_after(steps: int) -> Callable[[dict[str, Any]], None]:
    def on_step(record: dict[str, Any]) -> None:
        if record["step"] == steps:
            raise Died

    return on_step


def averaged_critic() -> Adversarial:
    """What keeps most state besides weights: an optimiser, an average, recent batches."""
    return Adversarial(AdversarialConfig(loss="wasserstein", discriminator_steps=3, momentum=0.9))


@pytest.mark.parametrize("method", [Optical, Distillation, PosteriorAlignment, Adversarial, averaged_critic])
@pytest.mark.parametrize("last", [1, 2, 5, STEPS])
def test_resumed_training_ends_in_the_same_bytes(
    method: Callable[[], TrainedMethod], last: int, make_task: Callable[..., Task], tmp_path: Path
) -> None:
    budget = Budget(STEPS, "steps")
    whole = method().fit(make_task(budget=budget, recipe=RECIPE))

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0)
    with pytest.raises(Died):
        method().fit(make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=dies_after(last)))
    resumed_from: list[int] = []
    records: list[dict[str, Any]] = []
    task = make_task(
        budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=records.append, on_resume=resumed_from.append
    )
    resumed = method().fit(task)

    assert resumed_from == [last - 1]
    assert [record["step"] for record in records] == list(range(last, STEPS + 1))
    assert resumed.query_encoder.fingerprint() == whole.query_encoder.fingerprint()
    assert task.outcome["spent"].steps == STEPS


def test_tokens_and_seconds_go_on_from_what_was_spent(make_task: Callable[..., Task], tmp_path: Path) -> None:
    budget = Budget(STEPS, "steps")
    whole = make_task(budget=budget, recipe=RECIPE)
    Optical().fit(whole)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0)
    with pytest.raises(Died):
        Optical().fit(make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=dies_after(5)))
    first: list[dict[str, Any]] = []
    resumed = make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=first.append)
    Optical().fit(resumed)
    assert resumed.outcome["spent"].tokens == whole.outcome["spent"].tokens
    assert first[0]["seconds"] > 0
    assert first[0]["cpu_seconds"] > 0


def test_first_interrupt_finishes_the_step_and_saves(make_task: Callable[..., Task], tmp_path: Path) -> None:
    def on_step(record: dict[str, Any]) -> None:
        if record["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    budget = Budget(STEPS, "steps")
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=3600)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Optical().fit(make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=on_step))
    assert signal.getsignal(signal.SIGINT) is before
    resumed_from: list[int] = []
    task = make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_resume=resumed_from.append)
    resumed = Optical().fit(task)
    assert resumed_from == [3]
    whole = Optical().fit(make_task(budget=budget, recipe=RECIPE))
    assert resumed.query_encoder.fingerprint() == whole.query_encoder.fingerprint()


def test_no_checkpoint_is_written_before_it_is_due(make_task: Callable[..., Task], tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=3600)
    Optical().fit(make_task(budget=Budget(2, "steps"), recipe=RECIPE, checkpoint=checkpoint))
    assert list(tmp_path.iterdir()) == []


DAMAGES = {
    "flipped": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "truncated": lambda data: data[:-1],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "log.jsonl"])
@pytest.mark.parametrize("damage", [*DAMAGES, "directory"])
def test_damaged_state_is_not_gone_on_from(
    name: str, damage: str, make_task: Callable[..., Task], tmp_path: Path
) -> None:
    budget, log = Budget(STEPS, "steps"), tmp_path / "log.jsonl"
    told: list[str] = []
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0, log=log, on_damage=told.append)

    def logged(record: dict[str, Any]) -> None:
        with log.open("a") as file:
            file.write(f"{record['step']}\n")
        if record["step"] == 5 and not told:
            raise Died

    with pytest.raises(Died):
        Optical().fit(make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=logged))
    path = tmp_path / name
    data = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[damage](data) if name != "log.jsonl" or damage == "flipped" else data[:3])
    resumed_from: list[int] = []
    again = make_task(
        budget=budget,
        recipe=RECIPE,
        checkpoint=checkpoint,
        on_step=(lambda record: None) if path.is_dir() and name == "log.jsonl" else logged,
        on_resume=resumed_from.append,
    )
    resumed = Optical().fit(again)
    assert resumed_from == [0]
    assert len(told) == 1
    assert told[0].endswith("; it starts again")
    whole = Optical().fit(make_task(budget=budget, recipe=RECIPE))
    assert resumed.query_encoder.fingerprint() == whole.query_encoder.fingerprint()
    if not log.is_dir():
        assert log.read_text() == "".join(f"{step}\n" for step in range(1, STEPS + 1))


def test_log_is_cut_to_the_steps_of_the_checkpoint(make_task: Callable[..., Task], tmp_path: Path) -> None:
    budget, log = Budget(STEPS, "steps"), tmp_path / "log.jsonl"
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0, log=log)

    def logged(record: dict[str, Any]) -> None:
        with log.open("a") as file:
            file.write(f"{record['step']}\n")
        if record["step"] == 3 and log.read_text() == "1\n2\n3\n":
            raise Died

    with pytest.raises(Died):
        Optical().fit(make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=logged))
    assert log.read_text() == "1\n2\n3\n"  # the checkpoint is that of step 2
    with log.open("a") as file:
        file.write("3 and a half")
    Optical().fit(make_task(budget=budget, recipe=RECIPE, checkpoint=checkpoint, on_step=lambda record: None))
    assert log.read_text() == "1\n2\n"
