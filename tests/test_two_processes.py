"""Two processes that share a results folder: each training and cell is computed by one of them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from test_experiment import METHODS, REFERENCES, Bench
from test_killed import Place, start, whole_run

from bench.data.cards import Card


@pytest.fixture(scope="module")
def bench(small_conlang: dict[str, Card], encoder_folder: Path) -> Bench:
    return Bench(small_conlang, encoder_folder)


def test_two_runs_at_once_compute_each_cell_once(bench: Bench, tmp_path: Path) -> None:
    whole = whole_run(bench, Place(tmp_path / "alone"), *METHODS)
    place = Place(tmp_path / "shared")
    processes = [start(bench, place, *METHODS) for _ in range(2)]
    manifests: dict[Path, int] = {}
    while any(process.is_alive() for process in processes):
        for path in place.root.glob("results/*/*/manifest.json"):
            assert manifests.setdefault(path, path.stat().st_ino) == path.stat().st_ino, f"{path} was written twice"
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0, 0], place.said
    cells = len(METHODS) + len(REFERENCES)
    counts = re.findall(r"^(\d+) cells computed, (\d+) found finished$", place.said, re.MULTILINE)
    computed, found = ([int(count) for count in column] for column in zip(*counts, strict=True))
    assert (sum(computed), sum(found)) == (cells, cells)
    assert min(computed) > 0, f"one process did it all: {computed}"
    assert len(manifests) == 2 * cells
    assert place.said.count(": trained ") == len(METHODS)
    assert place.files() == whole.files
