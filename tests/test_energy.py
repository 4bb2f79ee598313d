"""Energy is what meters say, or nothing: with a tracker made up, and with the real one where it is installed."""

from __future__ import annotations

import csv
import enum
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_bench import Bench

from bench.cli import main
from bench.running import energy
from bench.running.energy import PARTS, Meter
from bench.training.checkpoint import Checkpoint

JOULES = dict.fromkeys(PARTS, b"null")


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Puts a library in place of the real one, whose meters say the same whenever they are read."""

    def install(joules: dict[str, bytes]) -> list[str]:
        calls: list[str] = []
        module: Any = types.ModuleType("tirex_tracker")
        module.Measure = enum.Enum("Measure", list(PARTS))

        class Handle:
            def stop(self) -> dict[Any, Any]:
                calls.append("stop")
                return {module.Measure[name]: types.SimpleNamespace(value=value) for name, value in joules.items()}

        def start_tracking(measures: list[Any]) -> Handle:
            assert [measure.name for measure in measures] == list(PARTS)
            calls.append("start")
            return Handle()

        module.start_tracking = start_tracking
        monkeypatch.setitem(sys.modules, "tirex_tracker", module)
        monkeypatch.setattr(energy, "version", lambda name: "1.2")
        return calls

    return install


def test_joules_of_all_meters_as_watt_hours(tracker: Callable[..., list[str]]) -> None:
    """900 J of the cores and 2,700 J of the GPU are one watt hour."""
    tracker({**JOULES, "CPU_ENERGY_SYSTEM_JOULES": b"900", "GPU_ENERGY_SYSTEM_JOULES": b"2700"})
    with Meter(True) as meter:
        pass
    assert meter.cost == {"energy_wh": 1.0, "energy_by": "tirex-tracker 1.2: cores, GPU, whatever else ran on them"}


def test_meters_are_read_before_they_overflow(
    tracker: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tracker({**JOULES, "CPU_ENERGY_SYSTEM_JOULES": b"1800"})
    with Meter(True) as meter:
        meter.tick()
        assert calls == ["start"]
        monkeypatch.setattr(energy, "INTERVAL", 0.0)
        meter.tick()
    assert calls == ["start", "stop", "start", "stop"]
    assert meter.cost["energy_wh"] == 1.0


@pytest.mark.parametrize("value", [b"null", b"0", b'"?"'])
def test_without_meters_there_is_no_number(tracker: Callable[..., list[str]], value: bytes) -> None:
    tracker(dict.fromkeys(PARTS, value))
    with Meter(True) as meter:
        pass
    assert meter.cost == {"energy_wh": None, "energy_by": "not measured: the machine shows no meters"}


def test_a_meter_that_fails_fails_nothing_else(tracker: Callable[..., list[str]]) -> None:
    tracker(dict.fromkeys(PARTS, b"no JSON"))
    with Meter(True) as meter:
        pass
    assert meter.cost["energy_wh"] is None
    assert meter.cost["energy_by"].startswith("not measured: JSONDecodeError")


def test_nothing_is_recorded_unasked() -> None:
    with Meter(False) as meter:
        meter.tick()
    assert meter.cost == {}


def test_costs_have_the_energy_and_fingerprints_do_not(
    bench: Bench, tracker: Callable[..., list[str]], tmp_path: Path
) -> None:
    tracker({**JOULES, "CPU_ENERGY_SYSTEM_JOULES": b"3600"})
    bench.execute(tmp_path / "metered", ["distillation"], energy=True)
    bench.execute(tmp_path / "plain", ["distillation"])
    names = [{path.name for path in (tmp_path / run).glob("*s/*-????????????")} for run in ("metered", "plain")]
    assert names[0] == names[1]
    with (tmp_path / "metered" / "cost.csv").open(encoding="utf-8") as file:
        (row,) = (row for row in csv.DictReader(file) if row["method"] == "distillation")
    assert (row["training_energy_wh"], row["evaluation_energy_wh"]) == ("1.0", "1.0")
    assert row["training_energy_by"].startswith("tirex-tracker")
    assert "energy" not in (tmp_path / "plain" / "cost.csv").read_text()


def test_of_a_resumed_training_the_energy_is_not_known(
    bench: Bench, tracker: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker({**JOULES, "CPU_ENERGY_SYSTEM_JOULES": b"3600"})
    monkeypatch.setattr("bench.training.checkpoint.Checkpoint.due", True)
    write = Checkpoint.save

    def dies(self: Checkpoint, *arguments: Any) -> None:
        write(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bench.training.checkpoint.Checkpoint.save", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.execute(tmp_path, ["distillation"], energy=True)
    outcome = bench.execute(tmp_path, ["distillation"], energy=True)
    (cell,) = (cell for cell in outcome.cells if cell.spec.method == "distillation")
    cost = cell.manifest["trained"]["cost"]
    assert (cost["energy_wh"], cost["energy_by"]) == (None, "not measured: the training was resumed")


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tirex_tracker", None)
    assert main(["run", "--methods", "zero-shot", "--energy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install -c constraints.txt '.[energy]'" in line


def test_the_real_tracker_measures_or_says_that_it_does_not() -> None:
    pytest.importorskip("tirex_tracker")
    with Meter(True) as meter:
        pass
    measured = meter.cost["energy_wh"]
    assert measured is None or measured >= 0
    assert meter.cost["energy_by"].startswith("not measured: the machine" if measured is None else "tirex-tracker")
