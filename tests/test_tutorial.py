"""The tutorial and the notebook of the documentation: their commands run, and print what the pages show."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import Cli

DOCS = Path(__file__).parents[1] / "docs"
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^<!-- then -->\n+((?: {4}.*\n|\n)+)(?:prints\n+((?: {4}.*\n|\n)+))?", re.M)
"""A block of commands, and the output that the page shows."""


def words(text: str) -> list[str]:
    """The words of a text, without numbers and the ids of queries, which depend on the encoder."""
    return [word for word in re.findall(r"[^\W\d][\w-]*", text) if not re.search(r"\d", word)]


@pytest.mark.parametrize("encoder", ["small", pytest.param("tiny", marks=pytest.mark.slow)])
def test_the_tutorial_runs_and_prints_what_it_shows(
    tmp_path: Path, cli: Cli, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    blocks = BLOCK.findall(TUTORIAL)
    assert len(blocks) == 5
    for block, shown in blocks:
        text = dedent(block)
        if script := re.search(r"<<'END'\n(.*)END\n", text, re.S):
            exec(script[1], {"__name__": "tutorial"})
            continue
        for line in text.replace("\\\n", "").strip().splitlines():
            program, *arguments = shlex.split(line)
            assert program == "bench"
            given = [str(encoder_folder) if word == "tiny" and encoder == "small" else word for word in arguments]
            out = cli(*given).out
        if encoder == "tiny" and shown:
            assert out.split() == shown.split()
        elif shown:  # the students of another encoder, in another order
            same = [word for word in words(shown) if word not in ("tiny", "mean_cosine")]
            assert set(same) - set(words(out)) <= {"better", "significantly"}
    assert len((tmp_path / "notes.tsv").read_text(encoding="utf-8").splitlines()) == 1000


def test_the_files_that_the_tutorial_shows_are_those_that_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = re.search(r"<<'END'\n(.*?)END\n", dedent(BLOCK.findall(TUTORIAL)[0][0]), re.S)
    assert script
    exec(script[1], {"__name__": "tutorial"})
    for count, name, shown in re.findall(r"^    \$ head -(\d) (\S+)\n((?:    [^$].*\n)+)", TUTORIAL, re.M):
        lines = Path(name).read_text(encoding="utf-8").splitlines()[: int(count)]
        assert dedent(shown).splitlines() == lines


def test_the_notebook_runs(tmp_path: Path, encoder_folder: Path) -> None:
    cells = json.loads((DOCS / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code = [cell.replace('encoder="tiny"', f"encoder={str(encoder_folder)!r}") for cell in code]
    # As IPython does: `In` has the cells, and the module is `__main__`.
    loop = (
        "for cell in cells:\n    In.append(cell)\n    exec(compile(cell, 'cell', 'exec', dont_inherit=True), globals())"
    )
    (tmp_path / "run.py").write_text(f"In, cells = [], {code!r}\n{loop}\n", encoding="utf-8")
    launch = "exec(open('run.py', encoding='utf-8').read())"
    done = subprocess.run([sys.executable, "-c", launch], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "scores.png").stat().st_size > 1000
    assert len(list(tmp_path.glob("results/runs/cells/mine.*"))) == 1
