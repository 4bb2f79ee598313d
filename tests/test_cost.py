"""Energy is read from meters, or not reported at all: with a fake tracker, and with the real one if it is installed."""

import enum
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from small_bench import Bench, rows

from bench.report.leaderboard import leaderboard
from bench.report.tables import tables
from bench.results.store import Store
from bench.running import cost
from bench.running.cost import PARTS, Meter

CPU, GPU = "CPU_ENERGY_SYSTEM_JOULES", "GPU_ENERGY_SYSTEM_JOULES"
Tracker = Callable[..., None]


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """Replace the library by one whose meters report the same joules whenever they are read."""

    def install(**joules: bytes) -> None:
        module: Any = types.ModuleType("tirex_tracker")
        module.Measure = enum.Enum("Measure", list(PARTS))
        values = {**dict.fromkeys(PARTS, b"null"), **joules}
        found = {module.Measure[name]: types.SimpleNamespace(value=value) for name, value in values.items()}
        module.start_tracking = lambda measures: types.SimpleNamespace(stop=lambda: found)
        monkeypatch.setitem(sys.modules, "tirex_tracker", module)
        monkeypatch.setattr(cost, "version", lambda name: "1.2")

    return install


def measured() -> tuple[float | None, str]:
    with Meter(energy=True) as meter:
        meter.tick()
    return meter.cost["energy_wh"], meter.cost["energy_by"]


def test_energy_of_all_meters_in_watt_hours(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """900 J of the cores and 2,700 J of the GPU are one watt hour. The meters are read before they overflow."""
    tracker(**{CPU: b"900", GPU: b"2700"})
    assert measured() == (1.0, "tirex-tracker 1.2: cores, GPU, including other programs")
    monkeypatch.setattr(cost, "INTERVAL", 0.0)
    assert measured()[0] == 2.0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((value, "the machine has no meters") for value in (b"null", b"0", b'"?"')),
        (b"no JSON", "JSONDecodeError"),
    ],
)
def test_without_working_meters_there_is_no_number_and_no_failure(tracker: Tracker, value: bytes, reason: str) -> None:
    tracker(**dict.fromkeys(PARTS, value))
    energy, by = measured()
    assert energy is None and by.startswith(f"not measured: {reason}")


def test_costs_have_the_energy_and_fingerprints_do_not(bench: Bench, tracker: Tracker, tmp_path: Path) -> None:
    tracker(**{CPU: b"3600"})
    bench.execute(tmp_path, ["zero-shot"], energy=True)
    assert {row["evaluation_energy_wh"] for row in rows(tmp_path, "cost.csv")} == {"1.0"}
    assert {row["training_energy_by"].split()[0] for row in rows(tmp_path, "cost.csv")} == {"tirex-tracker"}
    assert bench.execute(tmp_path, ["zero-shot"]).reused == 3
    bench.execute(tmp_path, ["zero-shot"], overwrite="always")
    assert "energy" not in (tmp_path / "cost.csv").read_text()


@pytest.mark.parametrize("method", ["psq", "translate-test"])
def test_methods_without_a_student_show_the_cost_of_what_they_learn(bench: Bench, tmp_path: Path, method: str) -> None:
    bench.execute(tmp_path, [method])
    (cost,) = (row for row in rows(tmp_path, "cost.csv") if row["method"] == method)
    assert float(cost["training_seconds"]) > 0 and float(cost["training_cpu_seconds"]) > 0
    (table,) = tables(leaderboard(Store(tmp_path))).values()
    shown = table[table["method"] == method].iloc[0]
    assert shown["training s"] == f"{float(cost['training_seconds']):.0f}"
    assert shown["CPU s"] == f"{float(cost['training_cpu_seconds']):.0f}"


def test_energy_of_a_resumed_training_is_unknown(
    bench: Bench, tracker: Tracker, tmp_path: Path, interrupted_at_checkpoint: Any
) -> None:
    tracker(**{CPU: b"3600"})
    with interrupted_at_checkpoint(), pytest.raises(KeyboardInterrupt):
        bench.execute(tmp_path, ["distillation"], energy=True)
    outcome = bench.execute(tmp_path, ["distillation"], energy=True)
    (found,) = (cell.trained["cost"] for cell in outcome.cells if cell.spec.method == "distillation")
    assert (found["energy_wh"], found["energy_by"]) == (None, "not measured: the training was resumed")


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setitem(sys.modules, "tirex_tracker", None)
    assert cli("run", "--methods", "zero-shot", "--energy", code=2).line("pip install 'tirex-tracker>=")


def test_real_tracker_measures_or_reports_that_it_cannot() -> None:
    pytest.importorskip("tirex_tracker")
    energy, by = measured()
    assert by.startswith("not measured: the machine" if energy is None else "tirex-tracker")
