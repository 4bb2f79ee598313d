"""Output: it degrades with the terminal, and nothing in it is run by a terminal, spreadsheet or browser."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import bench
from bench.errors import BenchError
from bench.progress import Display
from bench.report.tables import escaped, markdown_table
from bench.storage.sealed import cache_problems, default_cache
from bench.tables import frame_csv, print_table
from bench.terminal import CONTROL, one_line, printable, write_error, write_out

BENCH = str(Path(sys.executable).with_name("bench"))
EVIL = "\x1b]0;owned\x07\u202e\x9b31m\r\udcff"
TEXTS = st.text(st.characters(exclude_categories=[]))


def shell(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of bash in a folder, with `bench` and a few environment variables. That of tox is left out."""
    environment = {**os.environ, "BENCH": BENCH, **variables}
    if "PYTHONIOENCODING" not in variables:
        environment.pop("PYTHONIOENCODING", None)
    return subprocess.run(["bash", "-c", command], capture_output=True, cwd=folder, env=environment, check=False)


def test_only_one_module_prints() -> None:
    root = Path(bench.__file__).parent
    calls = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert calls == {"terminal.py"}


@given(TEXTS)
@example(EVIL)
def test_printable_text_has_no_control_characters_and_keeps_json(text: str) -> None:
    assert not CONTROL.search(printable(text))
    assert "\n" not in one_line(text)
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


def test_everything_that_is_printed_is_printable(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_out(EVIL)
    print_table([EVIL, "b"], [[EVIL, "[red]:smile:"]], title=EVIL)
    write_error(EVIL)
    Display().warn(EVIL)
    monkeypatch.setattr("bench.progress.INTERVAL", -1)
    with Display().stage(f"{EVIL}[/x]", 2, "texts") as stage:
        stage(1, EVIL)
    out, err = capfd.readouterr()
    assert not CONTROL.search(out + err)
    assert "[red]:smile:" in out


def test_stage_on_a_terminal_shows_labels_as_they_are(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Display().stage(f"a[/x]{EVIL}", 2, "texts") as stage:
        stage(1, "[/y]")
    assert EVIL not in capfd.readouterr().err


@given(st.lists(TEXTS, min_size=1, max_size=3))
@example(["=1+1"])
@example(["-cmd"])
@example(["\tx"])
@example(["-1.5"])
@example(["\r"])
def test_no_cell_of_csv_is_a_formula(cells: list[str]) -> None:
    names = [f"{name}{i}" for i, name in enumerate(cells)]
    written = list(csv.reader(io.StringIO(frame_csv(pd.DataFrame([cells], columns=names)), newline="")))
    assert len(written) == 2
    for text, cell in zip([*names, *cells], [*written[0], *written[1]], strict=True):
        starts = len(cell) > 1 and cell[0] in "=+-@\t\r\n＝＋－＠"
        assert not starts or is_number(text)
        assert is_number(text) or cell in (printable(text), "'" + printable(text))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def test_numbers_of_csv_stay_as_they_are() -> None:
    frame = pd.DataFrame({"a": [-0.5, 0.1], "b": ["-", "-0.5"], "c": [1, None]})
    frame["d"] = pd.Categorical(["=x", "y"])
    assert frame_csv(frame).splitlines() == ["a,b,c,d", "-0.5,-,1.0,'=x", "0.1,-0.5,,y"]


@pytest.mark.parametrize(
    "text", ["<img src=x>", "[a](javascript:x)", "[a][b]", "[a]: //x", "`x`", "a|b", "a\n\nb", "http://x", "www.x.org"]
)
def test_markdown_and_latex_show_the_text(text: str) -> None:
    row = markdown_table(pd.DataFrame({"a": [text]})).splitlines()[-1]
    assert re.sub(r"\\(.)", r"\1", row) == f"| {one_line(text)} |"
    assert "\\" in row
    assert "\n" not in escaped(text)


def test_interval_in_markdown_is_as_it_was() -> None:
    assert markdown_table(pd.DataFrame({"nDCG@10": ["0.5 [0.4, 0.6]"]})).endswith("| 0.5 [0.4, 0.6] |")


@pytest.mark.parametrize(
    ("variables", "command"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "$BENCH ls methods optical"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "$BENCH ls datasets"),
        ({"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "20"}, "$BENCH ls measures"),
        ({"COLUMNS": "20"}, "$BENCH run --help"),
        ({"COLUMNS": "x"}, "$BENCH ls pairs"),
        ({}, "$BENCH ls pairs | head -1; exit ${PIPESTATUS[0]}"),
        ({}, "$BENCH run --help | true; exit ${PIPESTATUS[0]}"),
        ({}, "$BENCH ls measures >&-"),
        ({}, "$BENCH ls measures <&- >&- 2>&-"),
    ],
)
def test_output_degrades_quietly(tmp_path: Path, variables: dict[str, str], command: str) -> None:
    found = shell(command, tmp_path, **variables)
    assert (found.returncode, found.stderr) == (0, b"")
    if "ascii" in variables.values() or "LC_ALL" in variables:
        assert found.stdout.isascii() and found.stdout


def test_stdout_on_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    found = shell("$BENCH ls measures > /dev/full", tmp_path)
    assert found.returncode == 1
    (line,) = found.stderr.decode().splitlines()
    assert line.startswith("bench: ") and "No space left on device" in line


def test_missing_home_names_the_variable_that_cures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("BENCH_HOME")
    for find in (missing, lambda name: Path("~/.cache/bench")):
        monkeypatch.setattr("platformdirs.user_cache_path", find)
        with pytest.raises(BenchError, match="there is no home folder for the cache; set BENCH_HOME to a folder"):
            default_cache()


def test_cache_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for place, problems in (("new/home", 0), ("file", 1), ("file/below", 1), ("x" * 300, 1)):
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / place))
        found = cache_problems()
        assert len(found) == problems
        assert all("set BENCH_HOME to another folder" in line and "\n" not in line for line in found)
    assert list((tmp_path / "new/home").iterdir()) == []
