"""What only an installed wheel can show; run outside the checkout by `tox -e wheel`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.cards import load_cards


def run_bench(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENCH_HOME": str(home)}
    command = [str(Path(sys.executable).parent / "bench"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home)


def test_it_runs_from_site_packages() -> None:
    assert "site-packages" in Path(bench.__file__).parts


def test_the_wheel_carries_the_cards() -> None:
    assert {"conlang", "tatoeba", "afriqa", "standard"} <= set(load_cards())


def test_the_library_called_datasets_is_importable_next_to_it() -> None:
    import datasets

    assert hasattr(datasets, "Dataset")


@pytest.mark.parametrize("name", ["results", "tests"])
def test_no_other_folder_of_the_checkout_became_a_package(name: str) -> None:
    assert importlib.util.find_spec(name) is None


def test_a_comparison_runs_on_the_embedded_default(tmp_path: Path) -> None:
    done = run_bench(
        "run", "--methods", "distillation", "--pairs", "qaa-eng", "--budget", "5steps", "--offline", home=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for method in ("distillation", "zero-shot", "untrained", "oracle"):
        assert method in done.stdout
    assert (tmp_path / "results" / "runs" / "leaderboard.csv").is_file()
