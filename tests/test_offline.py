"""With `--offline` nothing opens a socket, neither the program nor a library nor a method."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_bench import CARD

EVERY_CALL = """
import contextlib, io, json, socket, sys

events, watched = [], True


def watch(event, arguments):
    local = event == "socket.__new__" and arguments[1] == socket.AF_UNIX  # a pipe between processes
    if watched and event.startswith("socket.") and not local:
        events.append(event)
        raise RuntimeError("watched")


sys.addaudithook(watch)  # before anything else is imported

from bench.cli import main

found = {}
for name, arguments in json.load(sys.stdin).items():
    if name == "methods":
        with contextlib.suppress(RuntimeError):
            socket.socket()
        found["somebody watches"], watched = events.copy(), False
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    found[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue(), "events": events.copy()}
json.dump(found, sys.stdout)
"""
PLUGIN = """
import socket

import requests

from bench.api import Method

class Opens(Method):
    def fit(self, task):
        socket.socket()


class Resolves(Method):
    def fit(self, task):
        socket.getaddrinfo("localhost", 9)


class Requests(Method):
    def fit(self, task):
        requests.get("http://127.0.0.1:9/")
"""
METHODS = ("Opens", "Resolves", "Requests")
RUN = ["run", "--offline", "--cards", "cards", "--datasets", "small", "--train", "small", "--pairs", "qaa-eng"]
RUN += ["--budget", "2steps", "--results", "results", "--encoder"]


@pytest.fixture(scope="module")
def found(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the outcome of each call. One process makes all, because most of the time is Python's start."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "cards").mkdir()
    (folder / "cards" / "small.toml").write_text(CARD)
    (folder / "plugin.py").write_text(PLUGIN)
    calls = {
        "encoder": [*RUN, "owner/name", "--methods", "optical", "--quiet"],
        "run": [*RUN, str(encoder_folder), "--methods", "optical"],
        "methods": [*RUN, str(encoder_folder), "--methods", *(f"plugin.py:{name}" for name in METHODS)],
    }
    environment = {**os.environ, "BENCH_HOME": "home", "HF_HOME": "huggingface"}
    environment.pop("HF_HUB_OFFLINE", None)  # the tests set it, users do not
    command = [sys.executable, "-c", EVERY_CALL]
    done = subprocess.run(
        command, input=json.dumps(calls), capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    found["methods"]["err"] += done.stderr  # of the process of the plugin
    return found


def test_whole_run_opens_no_socket(found: dict[str, Any]) -> None:
    assert found["run"]["code"] == 0
    assert "4 cells computed" in found["run"]["err"]
    assert " optical " in found["run"]["out"]
    assert found["run"]["events"] == []
    assert found["somebody watches"] == ["socket.__new__"]


def test_method_that_opens_a_socket_is_refused_and_the_others_finish(found: dict[str, Any]) -> None:
    said = found["methods"]
    assert said["code"] == 1
    for name in METHODS:
        (line,) = [line for line in said["err"].splitlines() if f"FAILED {name}." in line]
        assert "--offline forbids the network" in line
    assert f"0 cells computed, 3 found finished, {len(METHODS)} FAILED" in said["err"]
    assert " oracle " in said["out"]


def test_encoder_that_is_not_at_hand_is_refused(found: dict[str, Any]) -> None:
    said = found["encoder"]
    assert said["code"] == 2
    (line,) = said["err"].splitlines()
    assert line.startswith("bench: model 'owner/name' cannot be loaded from the hub: ")
    assert "--offline forbids a download" in line
    assert said["events"] == []
