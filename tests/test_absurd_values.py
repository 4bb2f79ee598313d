"""Every option of every command, found by introspection, with absurd values and malformed files.

Each call ends with exit code 0, 1 or 2, and 2 is explained in one line. No call hangs or writes where it should not.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from cells import add
from small_bench import CARD

from bench import registry
from bench.cli import COMMANDS, SUBJECTS, main, make_parser
from bench.errors import BenchError
from bench.options import (
    PREFIX,
    File,
    Folder,
    NewFile,
    NewFolder,
    Options,
    _file,
    _folder,
    _new_file,
    _new_folder,
    read_config,
    toml_value,
)
from bench.recipe import Recipe
from bench.results.store import Store
from bench.terminal import CONTROL

RUNS = ("a.run", "b.run", "--qrels", "qrels.txt")
CALLS = {
    "run": ("--methods", "zero-shot", "--datasets", "small", "--cards", "cards", "--dry-run"),
    "tune": ("distillation", "--dry-run"),
    "fetch": ("conlang", "--offline"),
    "baseline": ("new.json",),
    "check": ("baseline.json",),
    "new-card": ("mine", "--train", "notes.tsv", "--pairs", "swh-eng"),
    "new-method": ("mine",),
    "validate": ("zero-shot",),
    "ls": ("measures",),
    "compare": RUNS,
    "power": ("--queries", "10", "--seeds", "1", "--difference", "0.1", "--repetitions", "100"),
    "import": ("a.run", "--method", "mine", "--dataset", "small", "--pairs", "qaa-eng", "--cards", "cards"),
    "reproduce": ("optical",),
    "leaderboard": (),
    "report": (),
    "inspect cell": ("optical",),
    "inspect query": ("q1",),
    "inspect leakage": ("--pairs", "qaa-eng", "--train", "small", "--cards", "cards"),
    "inspect alignment": (),
    "new-teacher": ("teacher", "--train", "small", "--cards", "cards"),
    "study run": ("mine", "--studies", "studies", "--dry-run"),
    "study report": ("mine", "--studies", "studies"),
    "study check": ("mine", "--studies", "studies"),
    "study ls": ("--studies", "studies"),
}
"""Arguments with which a command is quick."""
Call = Callable[..., int]
COMPUTING = (
    "bench.gate.compute.compute_seeds",
    "bench.gate.baseline.make_baseline",
    "bench.authoring.validation.validate",
    "bench.running.alignments.alignment_rows",
    "bench.running.reproduction.reproduce",
    "bench.report.plots.write_plots",
    "bench.data.training_data.search",
    "bench.commands.authoring.load_teacher",
    "bench.commands.study.compute",
)
"""The functions behind the options that take long."""
NUMBERS = ("1" + "0" * 30, "9" * 5000, "1e400", "nan", "inf")
TEXTS = ("", " ", "\0", "\ud800", "-1", "0", "x" * 100_000, "\x1b[31m\u202e", "[" * 5000, "../..", "1e-400")
PATHS = ("folder", "pipe", "file", "missing/file", "file/below", "folder/new")
KINDS = {_file: File, _folder: Folder, _new_file: NewFile, _new_folder: NewFolder}
MALFORMED = {
    "empty": b"",
    "zeros": bytes(1000),
    "no UTF-8": b"\xff\xfe\xff",
    "open bracket": b"{",
    "deep": b"[" * 100_000,
    "gzip": b"\x1f\x8b\x08\x00garbage",
    "digits": b"x = " + b"9" * 5000,
    "other JSON": b'{"a": [1, {"b": null}]}\n',
    "terminal": b"\x1b]0;evil\x07\r\n" * 3,
    "long": b"x" * 1_000_000,
}
STUDY = """
question = "?"
hypotheses = ["h"]
primary = [{ a = "optical", b = "zero-shot" }]
runs = [{ methods = ["optical"] }]
"""
TIME = 60
"""Seconds after which a call hangs."""


PARSER = cache(make_parser)


@cache
def models(command: str) -> tuple[type[Options], ...]:
    """The models of a command's options."""
    words = command.split()
    parser = PARSER(words[0])
    for word in words:
        (subparsers,) = (
            action for action in parser._actions if hasattr(action, "choices") and isinstance(action.choices, dict)
        )
        parser = subparsers.choices[word]
    return tuple(parser.get_default("models"))


NAMES = [name for name in COMMANDS if name not in SUBJECTS]
NAMES += [f"{name} {subject}" for name, (_, subjects) in SUBJECTS.items() for subject in subjects]
OPTIONS = [(name, field) for name in NAMES for model in models(name) for field in model.model_fields]
TABLES = [(name, "config") for name in NAMES if any("recipe" in model.model_fields for model in models(name))]


def info(command: str, field: str) -> Any:
    return next(model.model_fields[field] for model in models(command) if field in model.model_fields)


def parts(kind: Any) -> Iterator[Any]:
    """The types and validators in an annotation."""
    yield kind
    for each in (*get_args(kind), *getattr(kind, "__metadata__", ())):
        yield from parts(each)


def kinds(command: str, field: str) -> list[Any]:
    about = info(command, field)
    found = [*parts(about.annotation), *about.metadata]
    return [KINDS[func] for each in found if (func := getattr(each, "func", None)) in KINDS]


def numeric(command: str, field: str) -> bool:
    return bool({int, float} & {each for each in parts(info(command, field).annotation) if isinstance(each, type)})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few files, cells made by hand, a folder and a pipe."""
    place = tmp_path_factory.mktemp("absurd")
    (place / "folder").mkdir()
    (place / "cards").mkdir()
    (place / "cards/small.toml").write_text(CARD)
    os.mkfifo(place / "pipe")
    (place / "file").write_text("")
    for name in ("a.run", "b.run"):
        (place / name).write_text("q1 Q0 d1 1 2.0 x\nq2 Q0 d2 1 1.0 x\n")
    (place / "notes.tsv").write_text("moja\tone\n")
    (place / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d2 1\n")
    (place / "baseline.json").write_text('{"suite": {}, "made_by": {"libraries": {}}, "values": []}')
    (place / "studies/mine").mkdir(parents=True)
    (place / "studies/mine/study.toml").write_text(STUDY)
    store = Store(place / "results/runs").open()
    add(store, {"nDCG@10": {"q1": 0.5, "q2": 1.0}}, method="optical")
    add(store, {"nDCG@10": {"q1": 0.25, "q2": 1.0}}, method="zero-shot", train="", budget=None, supervision="")
    return place


@pytest.fixture
def call(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Call a command in that folder, check its output, and return its exit code."""
    monkeypatch.chdir(place)
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != "BENCH_HOME"]:
        monkeypatch.delenv(name)

    def refuse(*arguments: object, **more: object) -> None:
        raise BenchError("this would be computed")

    monkeypatch.setattr("bench.cli.make_parser", PARSER)  # to make it takes longer than a call
    for function in COMPUTING:
        monkeypatch.setattr(function, refuse)
    monkeypatch.setattr(
        "bench.running.method_specs.expand", lambda methods, *more: (tuple(methods) or ("optical",), [])
    )

    def hang(number: int, frame: object) -> None:
        raise AssertionError("the call hangs")

    signal.signal(signal.SIGALRM, hang)

    def run(*arguments: str) -> int:
        signal.alarm(TIME)
        try:
            code = main(arguments)
        finally:
            signal.alarm(0)
        err = capfd.readouterr().err
        assert code in (0, 1, 2)
        assert not CONTROL.search(err)
        assert "Traceback" not in err
        assert all(len(line) < 1000 for line in err.splitlines())
        if code == 2:
            *notes, last = err.splitlines()
            assert last.startswith("bench: ")
            assert all(note.startswith("left out: ") for note in notes)
        return code

    return run


def with_value(command: str, field: str, value: str) -> list[str]:
    """The arguments of a call with this value."""
    words = [*command.split(), *CALLS[command]]
    if field == "config":
        return [*words, f"--config={value}"]
    if info(command, field).title:
        first = len(command.split())
        others = [name for model in models(command) for name in model.model_fields if info(command, name).title]
        words[first + others.index(field) : first + others.index(field) + 1] = [value]
        return words
    return [*words, f"--{field.rstrip('_').replace('_', '-')}={value}"]


def listed(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if "results" not in path.parts}


def test_every_command_has_a_call() -> None:
    assert set(CALLS) == set(NAMES)


@pytest.mark.parametrize("command", CALLS)
def test_the_calls_themselves_work(call: Call, command: str) -> None:
    call(*command.split(), *CALLS[command])


def values(command: str, field: str) -> tuple[str, ...]:
    """The absurd values for an option of this kind."""
    if field == "config":
        return *TEXTS, *PATHS
    types = {*parts(info(command, field).annotation)}
    if dict in types:
        return ()
    if bool in types or Literal in map(get_origin, types):
        return "", "\0", "x" * 100_000
    return (*NUMBERS, "", "\0", "-1", "[" * 5000) if numeric(command, field) else (*TEXTS, *PATHS, NUMBERS[0])


@pytest.mark.parametrize(("command", "field"), [*OPTIONS, *TABLES])
def test_absurd_value_is_refused_in_one_line(place: Path, call: Call, command: str, field: str) -> None:
    before = listed(place)
    for value in values(command, field):
        code = call(*with_value(command, field, value))
        assert code == 2 or value not in NUMBERS or not numeric(command, field), value
    new = listed(place) - before
    assert not new or {NewFile, NewFolder} & {*kinds(command, field)} or command in ("new-method", "new-card"), new


@pytest.mark.parametrize("command", ["run", "tune", "validate"])
def test_absurd_setting_is_refused_in_one_line(call: Call, command: str) -> None:
    words = (*command.split(), *CALLS[command])
    for number in NUMBERS:
        assert call(*words, "--set", f"recipe.batch_size={number}") == 2
    for value in (*TEXTS, *PATHS):
        assert call(*words, "--set", value) == 2
        assert call(*words, "--set", f"recipe.{value}=1") == 2
        assert call(*words, "--set", f"recipe.batch_size={value}") == 2


@pytest.mark.parametrize("name", ["recipe", *registry.known()])
def test_every_number_of_recipe_and_methods_has_a_range(name: str) -> None:
    config = Recipe if name == "recipe" else registry.known()[name].load().Config
    for field, about in config.model_fields.items():
        if {int, float} & {each for each in parts(about.annotation) if isinstance(each, type)}:
            for value in map(toml_value, NUMBERS):
                with pytest.raises(BenchError, match=f"^it: {field} "):
                    read_config(config, {field: value}, "it")


@pytest.mark.parametrize("command", NAMES)
def test_absurd_variable_is_refused_in_one_line(call: Call, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    words = (*command.split(), *CALLS[command])
    for field in (field for name, field in OPTIONS if name == command and not info(command, field).title):
        for value in (NUMBERS[1], "\x1b[31m\u202e", "file/below"):
            monkeypatch.setenv(f"{PREFIX}{field.upper()}", value)
            call(*words)
        monkeypatch.delenv(f"{PREFIX}{field.upper()}")


def test_every_path_is_of_a_kind() -> None:
    paths = [(name, field) for name, field in OPTIONS if Path in parts(info(name, field).annotation)]
    assert len(paths) > 20
    assert [option for option in paths if not kinds(*option)] == []


MALFORMED_AS = {
    **{option: "{}" for option in OPTIONS if File in kinds(*option)},
    **dict.fromkeys(TABLES, "{}"),
    **{option: "{}/any.toml" for option in OPTIONS if option[1] == "cards"},
    ("baseline", "file"): "{}",
    ("compare", "a"): "{}",
    ("compare", "b"): "{}/cells/any/manifest.json",
    ("leaderboard", "results"): "{}/cells/any/manifest.json",
    ("inspect cell", "cell"): "{}/manifest.json",
    ("reproduce", "cell"): "{}/cells/any/manifest.json",
    ("ls", "name"): "{}/config.json {}/model.safetensors",
}
"""The options that name a file or a folder, and the malformed files there."""


@pytest.mark.parametrize(("command", "field"), MALFORMED_AS)
def test_malformed_file_is_refused_in_one_line(
    place: Path, call: Call, monkeypatch: pytest.MonkeyPatch, command: str, field: str
) -> None:
    monkeypatch.setitem(CALLS, "ls", ("encoders", "name"))
    for ending in (".json", ".txt") if command == "import" else (".any",):
        for number, content in enumerate(MALFORMED.values()):
            name = f"malformed-{command}-{field}-{number}{ending}"
            for path in MALFORMED_AS[command, field].split():
                file = place / path.format(name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            code = call(*with_value(command, field, f"./{name}"))
            assert code == 2 or field == "cards" or (field, content) == ("config", b""), name


def test_malformed_manifest_is_left_out_with_a_note(place: Path, call: Call) -> None:
    path = place / "results/runs/cells/any/manifest.json"
    path.parent.mkdir()
    for content in MALFORMED.values():
        path.write_bytes(content)
        assert call("leaderboard") == 0
    shutil.rmtree(path.parent)
