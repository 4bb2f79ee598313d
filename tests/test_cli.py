"""The command line: mistakes are answered in one line, at once, before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = "run --methods optical --pairs qaa-eng"
MISTAKES = {
    "run --methods optcal": "unknown method 'optcal'; did you mean optical",
    "run --methods gone.py:Mine": "there is no file gone.py",
    "run": "--methods is missing; see --help",
    f"{RUN} --set method.optcal.epsilon=1": "unknown method 'optcal'; did you mean optical",
    f"{RUN} --datasets conlnag": "unknown collection 'conlnag'; did you mean conlang",
    f"{RUN} --datasets ebible": "dataset 'ebible' has no test collection",
    f"{RUN} --datasets ,": "datasets = (): Tuple should have at least 1 item",
    f"{RUN} --train conlnag": "unknown collection 'conlnag'",
    "run --methods optical --pairs qax-eng": "unknown pair in conlang: 'qax-eng'",
    "run --methods optical --pairs swahili": "swahili",
    f"{RUN} --encoder tinny": "unknown encoder 'tinny'; did you mean tiny",
    f"{RUN} --scoring median": "scoring[0] = 'median': Input should be 'single-vector' or 'maxsim'",
    f"{RUN} --students joint": "students[0] = 'joint': Input should be 'bilingual' or 'multilingual'",
    f"{RUN} --set recipe.selection=[1]": "selection = [1]: Input should be 'last' or 'english'",
    f"{RUN} --set recipe.selection=mean": "selection = 'mean': Input should be 'last' or 'english'",
    f"{RUN} --measures nDGC@10": "unknown measure 'nDGC@10'; did you mean nDCG@10",
    f"{RUN} --measures R@1001": "a whole number from 1 to 1000",
    f"{RUN} --budget 5apples": "budget '5apples' cannot be read",
    f"{RUN} --seeds one,two": "seeds[0] = 'one': Input should be a valid integer",
    f"{RUN} --seeds=-1": "seeds[0] = '-1': Input should be greater than or equal to 0",
    f"{RUN} --timeout soon": "'soon' is not a duration; write 90s, 30min or 2h",
    f"{RUN} --threads 0": "threads = '0'",
    f"{RUN} --mirror no-such-folder": "mirror = 'no-such-folder': the folder does not exist",
    f"{RUN} --cards no-such-folder": "cards = 'no-such-folder': the folder does not exist",
    f"{RUN} --config gone.toml": "gone.toml cannot be read: there is no such file",
    f"{RUN} --set budgte=5steps": "unknown key 'budgte'; did you mean budget?",
    f"{RUN} --set budget": "--set budget: write KEY=VALUE",
    f"{RUN} --budgte 5steps": "unknown option 'budgte'; did you mean budget?",
    "inspect leakage --train conlnag": "unknown collection 'conlnag'; did you mean conlang",
    "inspect leakage --train qed": "qed names no language pair; name one with",
    "inspect leakage --limit some": "limit = 'some'",
    "ls datasets conlnag": "unknown collection 'conlnag'",
    "ls pairs swh-eng": "takes no name",
    "ls methods optcal": "unknown method 'optcal'; did you mean optical",
    "rum": "invalid choice: 'rum' (choose from 'run', ",
    "ls mehtods": "kind = 'mehtods': Input should be 'methods', 'datasets', ",
    "inspect leaks": "invalid choice: 'leaks' (choose from 'cell', ",
    f"{RUN} --leakage ignore": "leakage = 'ignore': Input should be 'remove' or 'keep'",
    f"{RUN} --device abacus": "device = 'abacus': write auto, cpu, cuda, cuda:1, mps or cuda:0+cuda:1",
    f"{RUN} --quiet=yes": "argument --quiet/--no-quiet: ignored explicit argument 'yes'; see bench run --help",
    "ls datasets --output .": "--output is for bench ls methods",
    "leaderboard --results .": ". holds no finished cell; fill it with bench run --results .",
}
LISTS = {
    "ls methods": ("optical", "adversarial", "distillation", "zero-shot", "untrained", "oracle"),
    "ls datasets": ("conlang", "tatoeba"),
    "ls pairs": ("qaa-eng", "swh-eng"),
    "ls encoders": ("tiny", "all-MiniLM-L6-v2"),
    "ls measures": ("nDCG@10", "RR@10", "Success@1", "R@100"),
}
QUIET = [
    "",
    "--help",
    "--version",
    "run --help",
    "inspect --help",
    "inspect cell --help",
    "ls datasets conlang",
    *LISTS,
]
EVERY_CALL = """
import contextlib, io, json, sys, traceback
from bench.cli import main
results = {}
for call in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(call.split())
        except SystemExit as exit:
            code = exit.code
        except Exception:
            code = traceback.format_exc()
    heavy = [module for module in ("torch", "transformers", "faiss", "ot") if module in sys.modules]
    results[call] = {"code": code, "out": out.getvalue(), "err": err.getvalue(), "heavy": heavy}
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The exit code, output and heavy imports of every call, all made in one process, because Python starts slowly."""
    folder = tmp_path_factory.mktemp("cli")
    calls = json.dumps([*MISTAKES, *QUIET])
    command = [sys.executable, "-c", EVERY_CALL]
    found = subprocess.run(command, input=calls, capture_output=True, text=True, check=True, cwd=folder)
    assert list(folder.iterdir()) == []  # not even a results folder
    return dict(json.loads(found.stdout))


@pytest.mark.parametrize("call", MISTAKES)
def test_mistake_is_answered_in_one_line(results: dict[str, Any], call: str) -> None:
    found = results[call]
    assert (found["code"], found["out"], found["heavy"]) == (2, "", [])
    assert found["err"].startswith("bench: ")
    assert found["err"].count("\n") == 1
    assert MISTAKES[call] in found["err"]


@pytest.mark.parametrize("call", QUIET)
def test_help_and_lists_print_to_stdout(results: dict[str, Any], call: str) -> None:
    assert (results[call]["code"], results[call]["err"], results[call]["heavy"]) == (0, "", [])
    lines = results[call]["out"].splitlines()
    assert lines
    assert all(any(line.strip().startswith(name) for line in lines) for name in LISTS.get(call, ()))


@pytest.mark.parametrize("name", ["bench", "clir-bench"])
def test_installed_command_is_the_same(results: dict[str, Any], tmp_path: Path, name: str) -> None:
    command = [str(Path(sys.executable).with_name(name)), "--help"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.startswith(f"usage: {name} ")
    words = found.stdout.replace(f"usage: {name}", "usage: bench").split()
    assert words == results["--help"]["out"].split()  # wrapped to another width, perhaps
