"""`bench new-method` writes a package that works as it is, and as a plugin of somebody else's."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench.authoring.template import write_method
from bench.cli import main
from bench.errors import BenchError


def test_package_is_written_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-method", "my-own-2"]) == 0
    assert "bench validate my-own-2/my_own_2.py:MyOwn2" in capsys.readouterr().out
    texts = {path.name: path.read_text() for path in (tmp_path / "my-own-2").iterdir()}
    assert sorted(texts) == ["my_own_2.py", "pyproject.toml", "test_my_own_2.py"]
    assert not any("ew-method" in text or "ew_method" in text or "NewMethod" in text for text in texts.values())
    assert "class MyOwn2(" in texts["my_own_2.py"]
    entry_points = tomllib.loads(texts["pyproject.toml"])["project"]["entry-points"]
    assert entry_points["bench.methods"] == {"my-own-2": "my_own_2:MyOwn2"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("optical", "there is a method 'optical' already"),
        ("all", "there is a method 'all' already"),
        ("torch", "Python's 'torch' is something else already"),
        ("class", "Python's 'class' is something else already"),
        ("My Method", "is no name of a method; write small letters"),
        ("../up", "is no name of a method"),
        ("there", "exists already"),
    ],
)
def test_name_that_will_not_do_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(BenchError, match=reason):
        write_method(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.slow
def test_installed_method_of_somebody_else_is_listed_validated_and_compared(tmp_path: Path) -> None:
    write_method("their-own", tmp_path)
    package, site = tmp_path / "their-own", tmp_path / "site"
    run("-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", str(site), str(package))
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))}

    def bench(*arguments: str) -> str:
        call = f"import sys; from bench.cli import main; sys.exit(main({list(arguments)}))"
        return run("-c", call, cwd=tmp_path, **environment)

    assert "their-own" in bench("ls", "methods")
    assert "a template: write authors" in bench("ls", "methods", "their-own").replace("\n", " ")
    bench("run", "--methods", "distillation,their-own", "--pairs", "qaa-eng", "--budget", "5steps", "--quiet")
    with (tmp_path / "results" / "runs" / "leaderboard.csv").open() as file:
        assert {"their-own", "distillation", "zero-shot"} <= {row["method"] for row in csv.DictReader(file)}
    assert "1 passed" in run("-m", "pytest", "-p", "no:cacheprovider", str(package), cwd=package, **environment)


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
