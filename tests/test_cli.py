"""The command line: mistakes are answered in one line, at once, before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = ["run", "--methods", "optical", "--pairs", "qaa-eng"]
MISTAKES = {
    "method": (["run", "--methods", "optcal"], "unknown method 'optcal'; did you mean optical"),
    "file": (["run", "--methods", "gone.py:Mine"], "there is no file gone.py"),
    "dataset": ([*RUN, "--datasets", "conlnag"], "unknown collection 'conlnag'; did you mean conlang"),
    "no test": ([*RUN, "--datasets", "ebible"], "dataset 'ebible' has no test collection"),
    "pair": (["run", "--methods", "optical", "--pairs", "qax-eng"], "unknown pair in conlang: 'qax-eng'"),
    "no pair": (["run", "--methods", "optical", "--pairs", "swahili"], "swahili"),
    "training": ([*RUN, "--train", "conlnag"], "unknown collection 'conlnag'"),
    "encoder": ([*RUN, "--encoder", "tinny"], "unknown encoder 'tinny'; did you mean tiny"),
    "scoring": ([*RUN, "--scoring", "median"], "unknown scoring 'median'"),
    "measure": ([*RUN, "--measures", "nDGC@10"], "unknown measure 'nDGC@10'; did you mean nDCG@10"),
    "deep measure": ([*RUN, "--measures", "R@1001"], "a whole number from 1 to 1000"),
    "budget": ([*RUN, "--budget", "5apples"], "budget '5apples' does not parse"),
    "seeds": ([*RUN, "--seeds", "one,two"], "seeds[0] = 'one': Input should be a valid integer"),
    "negative seed": ([*RUN, "--seeds=-1"], "seeds[0] = '-1': Input should be greater than or equal to 0"),
    "mirror": ([*RUN, "--mirror", "no-such-folder"], "the mirror folder no-such-folder does not exist"),
    "no methods": (["run"], "--methods is missing; see --help"),
    "length of time": ([*RUN, "--timeout", "soon"], "'soon' is not a length of time; write 90s, 30min or 2h"),
    "threads": ([*RUN, "--threads", "0"], "threads = '0'"),
    "cards": ([*RUN, "--cards", "no-such-folder"], "the folder of cards no-such-folder does not exist"),
    "no configuration": ([*RUN, "--config", "gone.toml"], "gone.toml cannot be read: No such file"),
    "key": ([*RUN, "--set", "budgte=5steps"], "unknown key 'budgte'; did you mean budget?"),
    "no value": ([*RUN, "--set", "budget"], "--set budget: write KEY=VALUE"),
    "option": ([*RUN, "--budgte", "5steps"], "unknown option 'budgte'; did you mean budget?"),
    "old option": ([*RUN, "--patience", "5min"], "option 'patience' is now called 'timeout'"),
    "old key": ([*RUN, "--set", "patience=5min"], "key 'patience' is now called 'timeout'"),
    "old scoring": ([*RUN, "--scoring", "mean"], "scoring 'mean' is now called 'single-vector'"),
    "old students": ([*RUN, "--students", "joint"], "kind of students 'joint' is now called 'multilingual'"),
    "settings of nothing": (
        [*RUN, "--set", "method.optcal.epsilon=1"],
        "unknown method 'optcal'; did you mean optical",
    ),
    "inspected": (["inspect", "leakage", "--train", "conlnag"], "unknown collection 'conlnag'; did you mean conlang"),
    "no pairs to inspect": (["inspect", "leakage", "--train", "qed"], "qed names no language pair; name one with"),
    "limit": (["inspect", "leakage", "--limit", "some"], "limit = 'some'"),
    "listed name": (["ls", "datasets", "conlnag"], "unknown collection 'conlnag'"),
    "name of a pair": (["ls", "pairs", "swh-eng"], "takes no name"),
    "page of no method": (["ls", "methods", "optcal"], "unknown method 'optcal'; did you mean optical"),
    "pages of datasets": (["ls", "datasets", "--output", "."], "--output is for bench ls methods"),
    "no dataset": ([*RUN, "--datasets", ","], "datasets = (): Tuple should have at least 1 item"),
    "no results": (["leaderboard", "--results", "."], ". holds no finished cell; fill it with bench run --results ."),
}
ARGPARSE = {
    "nothing": [],
    "command": ["rum"],
    "kind": ["ls", "mehtods"],
    "subject": ["inspect", "leaks"],
    "leakage": [*RUN, "--leakage", "ignore"],
    "device": [*RUN, "--device", "abacus"],
}
QUIET = {
    "help": ["--help"],
    "version": ["--version"],
    "run help": ["run", "--help"],
    "inspect help": ["inspect", "--help"],
    **{f"ls {kind}": ["ls", kind] for kind in ("methods", "datasets", "pairs", "encoders", "measures")},
    "one dataset": ["ls", "datasets", "conlang"],
}
CALLS = {**{name: call for name, (call, _) in MISTAKES.items()}, **ARGPARSE, **QUIET}
EVERY_CALL = """
import contextlib, io, json, sys, traceback
from bench.cli import main
results = {}
for name, arguments in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as exit:
            code = exit.code
        except Exception:
            code = traceback.format_exc()
    heavy = [module for module in ("torch", "transformers", "faiss", "ot") if module in sys.modules]
    results[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue(), "heavy": heavy}
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The exit code, output and heavy imports of every call, all made in one process, because Python starts slowly."""
    folder = tmp_path_factory.mktemp("cli")
    command = [sys.executable, "-c", EVERY_CALL]
    found = subprocess.run(command, input=json.dumps(CALLS), capture_output=True, text=True, check=True, cwd=folder)
    assert list(folder.iterdir()) == []  # not even a results folder
    return dict(json.loads(found.stdout))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_answered_in_one_line(results: dict[str, Any], name: str) -> None:
    found = results[name]
    assert found["code"] == 2
    assert found["out"] == ""
    assert found["err"].startswith("bench: ")
    assert found["err"].count("\n") == 1
    assert MISTAKES[name][1] in found["err"]


@pytest.mark.parametrize("name", ARGPARSE)
def test_call_that_does_not_parse_shows_the_usage(results: dict[str, Any], name: str) -> None:
    assert results[name]["code"] == 2
    assert results[name]["err"].startswith("usage: bench")


@pytest.mark.parametrize("name", QUIET)
def test_help_and_lists_print_to_stdout(results: dict[str, Any], name: str) -> None:
    assert results[name]["code"] == 0
    assert results[name]["err"] == ""
    assert results[name]["out"].strip()


@pytest.mark.parametrize("name", CALLS)
def test_nothing_heavy_is_imported(results: dict[str, Any], name: str) -> None:
    assert results[name]["heavy"] == []


def test_lists_name_what_there_is(results: dict[str, Any]) -> None:
    for kind, names in {
        "methods": ("optical", "adversarial", "distillation", "zero-shot", "untrained", "oracle"),
        "datasets": ("conlang", "tatoeba"),
        "pairs": ("qaa-eng", "swh-eng"),
        "encoders": ("tiny", "all-MiniLM-L6-v2"),
        "measures": ("nDCG@10", "RR@10", "Success@1", "R@100"),
    }.items():
        lines = results[f"ls {kind}"]["out"].splitlines()
        assert all(any(line.strip().startswith(name) for line in lines) for name in names)


def test_installed_command_is_the_same(results: dict[str, Any], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("bench")), "--help"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.split() == results["help"]["out"].split()  # wrapped to another width, perhaps
