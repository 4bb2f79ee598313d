"""Inputs that change in place: results of two states never stand side by side, and a state that returns is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import english_sentences, make_encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bench import rows

from bench.cli import main
from bench.dependencies import fingerprint

PLUGIN = """
import helper
from bench.api import DualEncoder, Method


class Mine(Method):
    depends_on = ("budget",) if helper.STEPS else ()

    def fit(self, task):
        return DualEncoder(task.teacher, task.teacher)
"""
STATES = "ab"


class World:
    """A folder with a collection in BEIR's layout, an encoder and a plugin with a helper, each in one of two states."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for state, seed in zip(STATES, (0, 1), strict=True):
            make_encoder(seed=seed).save(folder / f"encoder-{state}")
        (folder / "mine.py").write_text(PLUGIN)
        for change in self.changes.values():
            change(self, "a")

    def judgments(self, state: str) -> None:
        (self.folder / "beir" / "qrels").mkdir(parents=True, exist_ok=True)
        rows = [f"q{i}\td{(i + STATES.index(state) * 3) % 20}\t1\n" for i in range(20)]
        (self.folder / "beir" / "qrels" / "test.tsv").write_text("".join(rows))

    def corpus(self, state: str) -> None:
        texts = english_sentences()[:20]
        for name, key, column in (("queries", "q", texts), ("corpus", "d", texts if state == "a" else texts[::-1])):
            rows = [json.dumps({"_id": f"{key}{i}", "text": text}) for i, text in enumerate(column)]
            (self.folder / "beir" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")

    def encoder(self, state: str) -> None:
        shutil.rmtree(self.folder / "encoder", ignore_errors=True)
        shutil.copytree(self.folder / f"encoder-{state}", self.folder / "encoder")

    def helper(self, state: str) -> None:
        (self.folder / "helper.py").write_text(f"STEPS = {STATES.index(state)}\n")
        fingerprint._dependencies.cache_clear()

    changes: ClassVar = {"judgments": judgments, "corpus": corpus, "encoder": encoder, "helper": helper}

    def run(self, methods: str, results: Path) -> int:
        where = ["--datasets", str(self.folder / "beir"), "--encoder", str(self.folder / "encoder")]
        how = ["--pairs", "qaz-eng", "--threads", "1", "--quiet", "--results", str(results)]
        return main(["run", "--methods", *methods.split(), *where, *how])

    @staticmethod
    def board(results: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in rows(results):
            found.setdefault(row["method"], []).append(f"{row['measure']} {row['value']}")
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.results.provenance.package_commit", dict)
        yield World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", ["judgments", "corpus", "encoder"])
def test_back_in_an_earlier_state_its_results_are_shown_again(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    change: Callable[[World, str], None] = World.changes[name]
    boards = []
    for state in "aba":
        change(world, state)
        capsys.readouterr()
        assert world.run("zero-shot", tmp_path) == 0
        boards.append((tmp_path / "leaderboard.csv").read_bytes())
    assert boards[0] == boards[2] != boards[1]
    what = "encoder" if name == "encoder" else "test collection beir qaz-eng"
    assert f"left out: 1 cell with another {what}" in capsys.readouterr().err
    assert main(["leaderboard", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "leaderboard.csv").read_bytes() == boards[0]
    assert len(list(tmp_path.glob("cells/*"))) == 2  # nothing was computed a third time


@pytest.mark.slow
@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(World.changes)), st.sampled_from(STATES)), min_size=1, max_size=3))
def test_what_is_shown_is_what_a_fresh_folder_would_show(
    world: World, tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[str, str]]
) -> None:
    """Any sequence of states, with a call in each."""
    used, fresh = tmp_path_factory.mktemp("used"), tmp_path_factory.mktemp("fresh")
    plugin = f"{world.folder / 'mine.py'}:Mine"
    assert world.run(f"zero-shot {plugin}", used) == 0
    for name, state in sequence:
        World.changes[name](world, state)
        assert world.run("zero-shot", used) == 0
    assert world.run(f"zero-shot {plugin}", used) == 0
    assert world.run(f"zero-shot {plugin}", fresh) == 0
    assert world.board(used) == world.board(fresh)
