"""A plugin may do what it likes: its training fails with a line, the others go on, and the exit code is 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plugins import FAILS, ODD
from test_failures import REFERENCES, Bench, bench, whole  # noqa: F401

from bench.running import execute


def test_a_plugin_that_fails_costs_only_itself(bench: Bench, whole: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    said = bench(" ".join(f"{path}:{name}" for name in (*FAILS, "Good")))
    assert said.code == 1
    for name, reason in FAILS.items():
        assert reason in said.line(f" FAILED {name}.")
    assert bench.methods() == {"Good", *REFERENCES}
    assert said.lines[-1] == f"{len(REFERENCES) + 1} cells computed, 0 found finished, {len(FAILS)} FAILED"
    for name in ("leaderboard.csv",):  # the others are what they are without plugins
        rows = [line for line in (bench.results / name).read_text().splitlines() if not line.startswith("Good")]
        assert set(rows) <= set((whole.results / name).read_text().splitlines())


def test_what_a_plugin_reports_stands_apart(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    said = bench(f"{path}:Overwrites {path}:Forks")
    print("\n".join(said.lines))
    assert said.code == 0
    manifest = bench.manifest("trainings", "Overwrites")
    assert manifest["outcome"]["fingerprint"] == "mine"
    assert (manifest["kind"], len(manifest["fingerprint"]), manifest["cost"]["seconds"] >= 0) == ("training", 64, True)
    assert bench.methods() == {"Overwrites", "Forks", *REFERENCES}
    assert bench(f"{path}:Overwrites {path}:Forks").lines[-1].startswith("nothing to compute: all 5 cells")


def test_what_a_plugin_deletes_is_computed_again(bench: Bench, whole: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    said = bench(f"{path}:DeletesEverything distillation")
    assert said.code == 1
    assert any("FAILED DeletesEverything" in line for line in said.lines)
    assert bench.methods() == {"distillation", *REFERENCES}
    assert (bench.results / "leaderboard.csv").read_bytes() == (whole.results / "leaderboard.csv").read_bytes()


def test_a_module_that_ends_the_process_is_refused(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "odd.py"
    path.write_text(f"import os\nos._exit(0)\n{ODD}")
    said = bench(f"{path}:Good")
    assert (said.code, said.lines) == (2, ["bench: method 'Good': its process ended with exit code 0"])


@pytest.mark.slow
def test_a_plugin_that_no_signal_reaches_is_killed(
    bench: Bench,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execute, "LEAST_PATIENCE", 12.0)
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    said = bench(f"{path}:Hangs {path}:Good", "--patience", "3s")
    assert said.code == 1
    assert "no sign of life" in said.line(" FAILED Hangs.")
    assert bench.methods() == {"Good", *REFERENCES}
    assert json.loads((bench.entry("cells", "Good") / "manifest.json").read_text())["kind"] == "cell"
