"""Input that is missing or malformed: one clear line, exit code 2, and nothing that is finished is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_bench import contents, rows
from world import World

from bench.cli import main

ENGLISH = [f"the {who} found {what}\n" for who in ("cat", "dog", "baker") for what in ("bread", "a boat", "two apples")]
SWAHILI = [f"{sentence[::-1].strip()} é\n" for sentence in ENGLISH]
TEST, BITEXT = ("mini-test", "test", "".join(SWAHILI[:4])), ("mini-bitext", "bitext", "".join(SWAHILI[4:]))

Break = Callable[[World], object]


@pytest.fixture
def world(tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("bench.system.offline.forbid_network", lambda: None)  # it would last beyond this test
    shutil.copytree(encoder_folder, tmp_path / "encoder")
    world = World(tmp_path)
    world.aligned(*TEST, "".join(ENGLISH[:4]))
    world.aligned(*BITEXT, "".join(ENGLISH[4:]))
    return world


def run(world: World, *more: str) -> int:
    return main(
        [
            *("run", "--methods", "distillation", "--datasets", "mini-test", "--train", "mini-bitext", "--offline"),
            *("--encoder", str(world.root / "encoder"), "--budget", "1steps", "--device", "cpu", "--quiet"),
            *(*world.options, "--results", str(world.root / "results"), *more),
        ]
    )


def test_collection_of_ones_own_runs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "mini-test swh-eng, 4 queries" in captured.out


def misspell(world: World) -> None:
    card = world.root / "cards/mini-test.toml"
    card.write_text(card.read_text().replace("licence", "license"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (misspell, "unknown key 'license'; did you mean"),
        (lambda world: world.file("mini-test", "d").unlink(), "mini-test: d is missing; looked for"),
        (lambda world: world.aligned(*TEST, b"one\ntwo\n\xff\nfour\n"), "mini-test/d: line 3: not UTF-8"),
        (lambda world: (world.root / "encoder/config.json").unlink(), "config.json"),
    ],
    ids=["card", "missing file", "malformed file", "encoder"],
)
def test_input_without_which_nothing_can_run(
    world: World, capsys: pytest.CaptureFixture[str], damage: Break, message: str
) -> None:
    damage(world)
    assert run(world) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bench: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_a_test_file_with_other_bytes_fails_every_cell(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The content of the card's file may be stored from before, so that each cell verifies the bytes."""
    assert run(world) == 0
    shutil.rmtree(world.root / "results")
    world.file("mini-test", "d").write_bytes(b"something else")
    assert run(world) == 2
    assert "is not the file of the card: sha256" in capsys.readouterr().err
    assert not list((world.root / "results").glob("cells/*/manifest.json"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda world: world.file("mini-bitext", "q").unlink(), "mini-bitext: q is missing; looked for"),
        (lambda world: world.aligned(*BITEXT, "one\ntwo\n"), "has 2; aligned files need as many"),
    ],
    ids=["missing file", "malformed file"],
)
def test_bad_training_data_stop_only_what_trains_on_them(
    world: World, capsys: pytest.CaptureFixture[str], damage: Break, message: str
) -> None:
    damage(world)
    assert run(world, "--bitext-size", "1") == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    failed = [line for line in captured.err.splitlines() if "FAILED distillation" in line]
    assert len(failed) == 1
    assert message in failed[0]
    assert {row["method"] for row in rows(world.root / "results")} == {"zero-shot"}


def test_results_that_are_finished_survive_bad_input(world: World) -> None:
    assert run(world) == 0
    before = contents(world.root / "results")
    world.aligned(*TEST, b"")
    assert run(world) == 2
    assert contents(world.root / "results") == before
