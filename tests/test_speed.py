"""`bench speed`: short trainings for whatever measures them, and the tables of optimal transport."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench.cli import main
from bench.data.cards import Card
from bench.progress import Display
from bench.request import Speed
from bench.running.speed import tasks
from bench.training.budget import Budget
from bench.training.method import Task
from methods import speed


def measure(given: Iterator[Task]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    for task in given:
        yield f"on {task.data.pairs[0]}", ["what", "how much"], [["steps", str(task.budget.amount)]]


@pytest.fixture
def small(small_conlang: dict[str, Card], monkeypatch: pytest.MonkeyPatch) -> dict[str, Card]:
    monkeypatch.setattr("bench.commands.speed.load_cards", lambda folder=None: small_conlang)
    return small_conlang


def test_measurement_of_an_entry_point_is_given_tasks_and_its_tables_are_printed(
    small: dict[str, Card], encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = EntryPoint("mine", f"{__name__}:measure", "bench.speed")
    monkeypatch.setattr("bench.commands.speed.entry_points", lambda group: [point])
    arguments = ["--encoders", f"{encoder_folder},no/encoder", "--budget", "3steps", "--offline"]
    assert main(["speed", "mine", *arguments]) == 0
    said = capsys.readouterr()
    assert "on qaa-eng" in said.out and ["steps", "3"] in [line.split() for line in said.out.splitlines()]
    assert "left out: no/encoder on qaa-eng: " in said.err


def test_unknown_measurement_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "to"]) == 2
    assert "unknown measurement 'to'" in capsys.readouterr().err


def test_share_of_a_step_for_every_solver(
    small_conlang: dict[str, Card], encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"BATCHES": (2,), "LENGTHS": (4, 6), "PATIENCE": 1e-9}.items():
        monkeypatch.setattr(speed, name, value)
    options = Speed(encoders=(str(encoder_folder),), budget=Budget(4, "steps"), offline=True)
    shares, sweep = speed.ot(tasks(options, small_conlang, Display(quiet=True)))
    solvers = [row[0] for row in shares[2]]
    assert solvers == [row[0] for row in sweep[2]] and "entropic" in solvers
    for solver, transport, _, share, looped in shares[2]:
        assert float(transport) >= 0 and 0 < float(share.rstrip("%")) < 100
        assert (looped == "-") == (solver in ("proximal", "greedy"))
    assert sweep[1] == ["solver", "2 x 4", "2 x 6"]
