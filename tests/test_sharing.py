"""One training on several devices: the weights of one, and errors of its processes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_bench import Bench, Command, entry

from bench.errors import BenchError
from bench.recipe import Budget
from bench.request import Request
from bench.results.store import LOG
from bench.running.engines import check_engine


def test_two_processes_train_the_student_of_one(bench: Bench, tmp_path: Path) -> None:
    weights, first_steps = [], []
    for device in ("cpu", "cpu+cpu"):
        bench.execute(tmp_path / device, ("adversarial",), device=(device,), budget=Budget(4, "steps"))
        training = entry(tmp_path / device, "trainings", "adversarial")
        weights.append(load_file(next(training.rglob("*.safetensors"))))
        first_steps.append((training / LOG).read_text().splitlines()[0])
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        if not name.endswith("key.bias"):  # their gradient is a rounding error, which AdamW enlarges
            torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-6, msg=name)
    losses = [step[step.index('"loss"') :].split(",")[0] for step in first_steps]
    assert losses[0] == losses[1]  # all bytes


def test_the_error_of_a_process_is_that_of_the_training(misbehaving: Command) -> None:
    arguments = misbehaving.arguments("FailsElsewhere Good", "--threads", "1")
    said = misbehaving.call(*("cpu+cpu" if argument == "cpu" else argument for argument in arguments))
    assert said.code == 1
    assert "RuntimeError: only there" in said.line("FAILED FailsElsewhere.")
    assert "Good" in misbehaving.methods()


def test_budgets_in_time_are_refused_for_processes_that_share_a_training() -> None:
    check_engine(Request(methods=("optical",), device=("cpu+cpu",), budget=Budget(2, "steps")))
    for unit in ("seconds", "cpu_seconds"):
        with pytest.raises(BenchError, match="a budget in steps"):
            check_engine(Request(methods=("optical",), device=("cpu", "cpu+cpu"), budget=Budget(2, unit)))
