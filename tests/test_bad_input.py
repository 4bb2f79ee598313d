"""Input that is missing or malformed: one clear line, exit code 2, and nothing that is finished is lost."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ENGLISH = [f"the {who} found {what}" for who in ("cat", "dog", "baker") for what in ("bread", "a boat", "two apples")]
SWAHILI = [f"{sentence[::-1]} é" for sentence in ENGLISH]
CARD = """
name = "mini"
description = "A few sentences"
licence = "CC0 1.0"
source = "owner/repo@{commit}"

[[data]]
role = "{role}"
format = "aligned-lines"
pairs = ["swh-eng"]
files = {{ queries = "{role}.swh", documents = "{role}.eng" }}

[sha256]
"""

Break = Callable[["World"], None]


class World:
    """A mirror and a folder of cards with a test collection `mini-test` and a bitext `mini-bitext`."""

    def __init__(self, folder: Path, encoder: Path) -> None:
        self.mirror, self.cards, self.results = folder / "mirror", folder / "cards", folder / "results"
        self.encoder = encoder
        self.cards.mkdir()
        for role, rows in (("test", slice(0, 4)), ("bitext", slice(4, None))):
            self.write(f"{role}.swh", "\n".join(SWAHILI[rows]).encode())
            self.write(f"{role}.eng", "\n".join(ENGLISH[rows]).encode())

    def write(self, name: str, content: bytes, *, card: bool = True) -> None:
        """Put a file into the mirror; its card states the new bytes' sha256 unless told otherwise."""
        path = self.mirror / "owner" / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if card:
            self.card(name.partition(".")[0])

    def card(self, role: str, text: str = CARD) -> None:
        files = sorted((self.mirror / "owner" / "repo").glob(f"{role}.*"))
        hashes = "".join(f'"{file.name}" = "{hashlib.sha256(file.read_bytes()).hexdigest()}"\n' for file in files)
        text = text.replace('"mini"', f'"mini-{role}"').format(commit=COMMIT, role=role)
        (self.cards / f"mini-{role}.toml").write_text(text + hashes, encoding="utf-8")

    def run(self, *more: str) -> int:
        return main(
            [
                *("run", "--methods", "distillation", "--datasets", "mini-test", "--train", "mini-bitext", "--offline"),
                *("--encoder", str(self.encoder), "--budget", "1steps", "--device", "cpu", "--quiet"),
                *("--mirror", str(self.mirror), "--cards", str(self.cards), "--results", str(self.results), *more),
            ]
        )


@pytest.fixture
def world(tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("bench.system.offline.forbid_network", lambda: None)  # it would last beyond this test
    copy = tmp_path / "encoder"
    shutil.copytree(encoder_folder, copy)
    return World(tmp_path, copy)


def test_collection_of_ones_own_runs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run() == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "mini-test swh-eng, 4 queries" in captured.out


def drop(name: str) -> Break:
    return lambda world: (world.mirror / "owner" / "repo" / name).unlink()


def file(name: str, content: bytes) -> Break:
    return lambda world: world.write(name, content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda world: world.card("test", CARD.replace("licence", "license")), "unknown key 'license'; did you mean"),
        (drop("test.eng"), "mini-test: test.eng is missing; looked for"),
        (file("test.eng", b"one\ntwo\n\xff\nfour\n"), "test.eng: line 3: not UTF-8"),
        (lambda world: (world.encoder / "config.json").unlink(), "config.json"),
    ],
    ids=["card", "missing file", "malformed file", "encoder"],
)
def test_input_without_which_nothing_can_run(
    world: World, capsys: pytest.CaptureFixture[str], damage: Break, message: str
) -> None:
    damage(world)
    assert world.run() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bench: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_a_test_file_with_other_bytes_fails_every_cell(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The content of the card's file may be stored from before, so that each cell verifies the bytes."""
    assert world.run() == 0
    shutil.rmtree(world.results)
    world.write("test.eng", b"something else", card=False)
    assert world.run() == 2
    assert "is not the file of the card: sha256" in capsys.readouterr().err
    assert not list(world.results.glob("cells/*/manifest.json"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("bitext.swh"), "bitext.swh is missing; looked for"),
        (file("bitext.swh", b"one\ntwo\n"), "has 2 lines, but"),
    ],
    ids=["missing file", "malformed file"],
)
def test_bad_training_data_stop_only_what_trains_on_them(
    world: World, capsys: pytest.CaptureFixture[str], damage: Break, message: str
) -> None:
    damage(world)
    assert world.run("--bitext-size", "1") == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    failed = [line for line in captured.err.splitlines() if "FAILED distillation" in line]
    assert len(failed) == 1
    assert message in failed[0]
    with (world.results / "leaderboard.csv").open(encoding="utf-8", newline="") as lines:
        assert {row["method"] for row in csv.DictReader(lines)} == {"zero-shot"}


def test_results_that_are_finished_survive_bad_input(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run() == 0
    before = {path: path.read_bytes() for path in world.results.rglob("*") if path.is_file()}
    world.write("test.eng", b"")
    assert world.run() == 2
    assert {path: path.read_bytes() for path in world.results.rglob("*") if path.is_file()} == before
