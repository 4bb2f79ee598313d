"""A plugin may do what it likes: its training fails with a line, the others go on, and the exit code is 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_failures import REFERENCES, Bench, bench, whole  # noqa: F401

from bench.running import execute

PLUGIN = '''
import os
import shutil
import signal
import sys
import time

from bench.api import DualEncoder, Method, Ranker
from methods.references import ZeroShot


class Good(Method):
    """Does as it should, after the others."""

    def fit(self, task):
        return ZeroShot().fit(task)


class Leaves(Good):
    def fit(self, task):
        sys.exit(0)


class Vanishes(Good):
    def fit(self, task):
        os._exit(0)


class IsKilled(Good):
    def fit(self, task):
        os.kill(os.getpid(), signal.SIGKILL)


class Custom(BaseException):
    pass


class Raises(Good):
    def fit(self, task):
        raise Custom("on purpose")


class PretendsCtrlC(Good):
    def fit(self, task):
        raise KeyboardInterrupt


class TellsNoNumber(Good):
    def fit(self, task):
        task.outcome["diagnostics"] = {"a": {1, 2}}
        return super().fit(task)


class TellsNoMapping(Good):
    def fit(self, task):
        task.outcome["diagnostics"] = "fine"
        return super().fit(task)


class KeepsTheUnkeepable(Good):
    def fit(self, task):
        task.outcome[("a", 1)] = 1
        return super().fit(task)


class DeletesItsFolder(Good):
    def fit(self, task):
        shutil.rmtree(task.checkpoint.path.parent)
        return super().fit(task)


class Ranks(Ranker):
    scorings = ("odd",)

    def __init__(self, found):
        self.found = found

    def save(self, folder, teacher):
        folder.mkdir()

    def rank(self, queries, documents, ids, depth, on_texts):
        return self.found(ids)


class Invents(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks(lambda ids: {ids.queries[0]: [("no such document", 1.0)]})


class Repeats(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks(lambda ids: {ids.queries[0]: [(ids.documents[0], 1.0), (ids.documents[0], 0.5)]})


class Unwritable(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks(lambda ids: {ids.queries[0]: [("two words", 1.0)], "no such query": []})


class Overwrites(Good):
    """Reports what has the names of the harness's own."""

    def fit(self, task):
        task.outcome |= {"fingerprint": "mine", "kind": "cell", "cost": None, "files": {}, "sha256": "0", "spec": {}}
        return super().fit(task)


class Forks(Good):
    """Lets a copy of the process return as well."""

    def fit(self, task):
        os.fork()
        time.sleep(0.2)
        return super().fit(task)


class DeletesEverything(Good):
    def fit(self, task):
        shutil.rmtree(task.checkpoint.path.parents[2])
        return super().fit(task)


class Hangs(Good):
    """In a call that no signal ends."""

    def fit(self, task):
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        time.sleep(600)
'''
FAILS = {
    "Leaves": "it ended with SystemExit: 0",
    "Vanishes": "its process ended with exit code 0",
    "IsKilled": "its process was killed by signal 9",
    "Raises": "it ended with Custom: on purpose",
    "PretendsCtrlC": "it ended with KeyboardInterrupt",
    "TellsNoNumber": "its diagnostic 'a' is no number but a set",
    "TellsNoMapping": "its diagnostics are no mapping but a str",
    "KeepsTheUnkeepable": "keys must be str",
    "DeletesItsFolder": "it deleted the log of its training",
    "Invents": "no such document",
    "Repeats": "twice",
    "Unwritable": "",
}


def test_a_plugin_that_fails_costs_only_itself(bench: Bench, whole: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "odd.py"
    path.write_text(PLUGIN)
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
    path.write_text(PLUGIN)
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
    path.write_text(PLUGIN)
    said = bench(f"{path}:DeletesEverything distillation")
    assert said.code == 1
    assert any("FAILED DeletesEverything" in line for line in said.lines)
    assert bench.methods() == {"distillation", *REFERENCES}
    assert (bench.results / "leaderboard.csv").read_bytes() == (whole.results / "leaderboard.csv").read_bytes()


def test_a_module_that_ends_the_process_is_refused(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "odd.py"
    path.write_text(f"import os\nos._exit(0)\n{PLUGIN}")
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
    path.write_text(PLUGIN)
    said = bench(f"{path}:Hangs {path}:Good", "--patience", "3s")
    assert said.code == 1
    assert "no sign of life" in said.line(" FAILED Hangs.")
    assert bench.methods() == {"Good", *REFERENCES}
    assert json.loads((bench.entry("cells", "Good") / "manifest.json").read_text())["kind"] == "cell"
