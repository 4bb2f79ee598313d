"""Energy is what meters say, or nothing: with a tracker made up, and with the real one where it is installed."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_bench import Bench, contents, rows

from bench.cli import main
from bench.running import energy
from bench.running.energy import PARTS, Meter
from bench.storage.sealed import MANIFEST

CPU, GPU = "CPU_ENERGY_SYSTEM_JOULES", "GPU_ENERGY_SYSTEM_JOULES"
Tracker = Callable[..., list[str]]


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """Puts a library in place of the real one, whose meters say the same whenever they are read."""

    def install(**joules: bytes) -> list[str]:
        calls: list[str] = []
        module: Any = types.ModuleType("tirex_tracker")
        module.Measure = enum.Enum("Measure", list(PARTS))

        class Handle:
            def stop(self) -> dict[Any, Any]:
                calls.append("stop")
                found = {**dict.fromkeys(PARTS, b"null"), **joules}
                return {module.Measure[name]: types.SimpleNamespace(value=value) for name, value in found.items()}

        def start_tracking(measures: list[Any]) -> Handle:
            assert [measure.name for measure in measures] == list(PARTS)
            calls.append("start")
            return Handle()

        module.start_tracking = start_tracking
        monkeypatch.setitem(sys.modules, "tirex_tracker", module)
        monkeypatch.setattr(energy, "version", lambda name: "1.2")
        return calls

    return install


def measured(wanted: bool = True) -> dict[str, Any]:
    with Meter(wanted) as meter:
        meter.tick()
    return meter.cost


def test_joules_of_all_meters_as_watt_hours(tracker: Tracker) -> None:
    """900 J of the cores and 2,700 J of the GPU are one watt hour."""
    tracker(**{CPU: b"900", GPU: b"2700"})
    assert measured() == {"energy_wh": 1.0, "energy_by": "tirex-tracker 1.2: cores, GPU, whatever else ran on them"}


def test_meters_are_read_before_they_overflow(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tracker(**{CPU: b"1800"})
    assert (measured()["energy_wh"], calls) == (0.5, ["start", "stop"])
    monkeypatch.setattr(energy, "INTERVAL", 0.0)
    assert (measured()["energy_wh"], calls[2:]) == (1.0, ["start", "stop", "start", "stop"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"null", "the machine shows no meters"),
        (b"0", "the machine shows no meters"),
        (b'"?"', "the machine shows no meters"),
        (b"no JSON", "JSONDecodeError"),
    ],
)
def test_without_working_meters_there_is_no_number_and_no_failure(tracker: Tracker, value: bytes, reason: str) -> None:
    tracker(**dict.fromkeys(PARTS, value))
    cost = measured()
    assert cost["energy_wh"] is None
    assert cost["energy_by"].startswith(f"not measured: {reason}")


def test_nothing_is_recorded_unasked() -> None:
    assert measured(wanted=False) == {}


def test_costs_have_the_energy_and_fingerprints_do_not(bench: Bench, tracker: Tracker, tmp_path: Path) -> None:
    tracker(**{CPU: b"3600"})
    bench.execute(tmp_path / "metered", ["distillation"], energy=True)
    bench.execute(tmp_path / "plain", ["distillation"])
    metered, plain = ({path.parent.name for path in contents(tmp_path / run, MANIFEST)} for run in ("metered", "plain"))
    assert metered == plain
    (row,) = (row for row in rows(tmp_path / "metered", "cost.csv") if row["method"] == "distillation")
    assert (row["training_energy_wh"], row["evaluation_energy_wh"]) == ("1.0", "1.0")
    assert row["training_energy_by"].startswith("tirex-tracker")
    assert "energy" not in (tmp_path / "plain" / "cost.csv").read_text()


def test_of_a_resumed_training_the_energy_is_not_known(
    bench: Bench, tracker: Tracker, tmp_path: Path, interrupted_at_checkpoint: Any
) -> None:
    tracker(**{CPU: b"3600"})
    with interrupted_at_checkpoint(), pytest.raises(KeyboardInterrupt):
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
    cost = measured()
    assert cost["energy_wh"] is None or cost["energy_wh"] >= 0
    missing = cost["energy_wh"] is None
    assert cost["energy_by"].startswith("not measured: the machine" if missing else "tirex-tracker")
