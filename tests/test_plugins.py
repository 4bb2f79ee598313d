"""A plugin may do what it likes: its training fails with a line, the others go on, and the exit code is 1."""

from __future__ import annotations

import pytest
from plugins import FAILS, ODD
from small_bench import REFERENCES, Command, rows

from bench.running import execute


@pytest.fixture(scope="module", autouse=True)
def plugin(whole: Command) -> None:
    (whole.folder / "plugin.py").write_text(ODD)


def test_a_plugin_that_fails_costs_only_itself(command: Command, whole: Command) -> None:
    said = command(" ".join((*FAILS, "Good")))
    assert said.code == 1
    for name, reason in FAILS.items():
        assert reason in said.line(f" FAILED {name}.")
    assert command.methods() == {"Good", *REFERENCES}
    assert said.lines[-1] == f"{len(REFERENCES) + 1} cells computed, 0 found finished, {len(FAILS)} FAILED"
    assert all(row in rows(whole.results) for row in rows(command.results) if row["method"] != "Good")


def test_what_a_plugin_reports_stands_apart(command: Command) -> None:
    assert command("Overwrites Forks").code == 0
    manifest = command.manifest("trainings", "Overwrites")
    assert manifest["outcome"]["fingerprint"] == "mine"
    assert (manifest["kind"], len(manifest["fingerprint"]), manifest["cost"]["seconds"] >= 0) == ("training", 64, True)
    assert command.methods() == {"Overwrites", "Forks", *REFERENCES}
    assert command("Overwrites Forks").lines[-1].startswith("nothing to compute: all 5 cells")


def test_what_a_plugin_deletes_is_computed_again(command: Command, whole: Command) -> None:
    said = command("DeletesEverything distillation")
    assert said.code == 1
    assert any("FAILED DeletesEverything" in line for line in said.lines)
    assert command.methods() == {"distillation", *REFERENCES}
    assert rows(command.results) == rows(whole.results)


def test_a_module_that_ends_the_process_is_refused(command: Command, whole: Command) -> None:
    path = whole.folder / "ends.py"
    path.write_text(f"import os\nos._exit(0)\n{ODD}")
    said = command(f"{path}:Good")
    assert (said.code, said.lines) == (2, ["bench: method 'Good': its process ended with exit code 0"])


@pytest.mark.slow
def test_a_plugin_that_no_signal_reaches_is_killed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "LEAST_PATIENCE", 12.0)
    said = command("Hangs Good", "--timeout", "3s")
    assert said.code == 1
    assert "no sign of life" in said.line(" FAILED Hangs.")
    assert command.methods() == {"Good", *REFERENCES}
    assert command.manifest("cells", "Good")["kind"] == "cell"
