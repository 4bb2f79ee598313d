"""Disks that are full or read-only and files that are damaged cost nothing else, and are repaired by the next call."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_bench import REFERENCES, Command, contents, rows

from bench.results.store import CHECKPOINT, RETRIEVER
from bench.storage.sealed import MANIFEST


@contextmanager
def no_room_for(file: str) -> Iterator[None]:
    """The disk is full when files with this in their names are written."""
    usual = Path.open

    def full(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        if "w" in mode and file in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return usual(path, mode, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        yield


@contextmanager
def read_only(source: Path, folder: Path) -> Iterator[Path]:
    """A copy of a folder on a read-only file system in memory; skips the test if none can be mounted."""

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")

    folder.mkdir()
    mount("size=4m")
    try:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        mount("remount,ro")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_disk_that_is_full_at_a_checkpoint_costs_one_training(
    command: Command, whole: Command, interrupted_at_checkpoint: Any
) -> None:
    assert command("zero-shot").code == 0
    before = command.files()
    with no_room_for(CHECKPOINT):
        said = command("distillation")
    assert said.code == 1
    assert "No space left on device" in said.line("FAILED distillation.", CHECKPOINT)
    assert command.files() == before
    assert command("distillation").code == 0
    assert command.files() == whole.files()


def test_disk_that_is_full_at_the_embedding_cache_costs_only_time(
    command: Command, whole: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    with no_room_for("00000.npy"):
        assert command("distillation").code == 0
    assert command.files() == whole.files()


def test_disk_that_is_full_at_the_leaderboard_leaves_the_old_one(again: Command, whole: Command) -> None:
    path = again.results / "leaderboard.csv"
    path.write_text("old\n")
    with no_room_for(path.name):
        said = again("distillation")
    assert said.code == 1
    assert said.line("bench: ") == (
        f"bench: No space left on device: {path}; what is finished is kept, the same command goes on from there"
    )
    assert path.read_text() == "old\n"
    assert again("distillation").code == 0
    assert again.files() == whole.files()


def test_results_folder_that_cannot_be_written_is_refused(command: Command, whole: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with read_only(whole.results, tmp_path / "mounted") as mounted:
        for results in (tmp_path / "file" / "results", mounted, mounted / "new"):
            said = replace(command, results=results)("optical", "--quiet")
            assert (said.code, len(said.lines)) == (2, 1)
            assert said.line(
                f"bench: the results folder {results} cannot be written: ", "; choose another with --results"
            )
        assert replace(command, results=mounted).files() == whole.files()


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        ("methods.distillation.Distillation.loss", {"distillation"}),
        ("bench.evaluation.run.write_run", {"distillation", *REFERENCES}),
    ],
    ids=["training", "evaluation"],
)
def test_overwrite_says_what_is_computed_again(command: Command, whole: Command, broken: str, failed: set[str]) -> None:
    methods = "distillation optical"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broken, lambda *arguments, **more: 1 / 0)
        assert command("distillation").code == 1
    said = command(methods, "--overwrite", "never")
    assert said.code == 1
    assert {line.split()[3].split(".")[0] for line in said.lines if "FAILED before: " in line} == failed
    assert "run with --overwrite failed to try it again" in said.line("FAILED before: distillation.")
    assert command.methods() == {"distillation", "optical", *REFERENCES} - failed

    said = command(methods, "--overwrite", "failed")
    assert (said.code, said.lines[-1]) == (0, f"{len(failed)} cells computed, {5 - len(failed)} found finished")
    files = command.files()
    cells = {name: data for name, data in whole.files().items() if name.startswith("cells/")}
    assert {name: files[name] for name in cells} == cells
    finished = command.manifest("trainings", "distillation")["provenance"]["finished"]

    said = command(methods, "--overwrite", "always")
    assert (said.code, said.lines[-1]) == (0, "5 cells computed, 0 found finished")
    assert command.files() == files
    assert command.manifest("trainings", "distillation")["provenance"]["finished"] > finished


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_text("")


HARM: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": flip_a_bit,
    "truncation": lambda path: os.truncate(path, path.stat().st_size - 2),
    "an empty file": lambda path: os.truncate(path, 0),
    "a deleted file": Path.unlink,
    "a directory in its place": replace_by_a_directory,
}
CASES = [
    pytest.param(flip_a_bit, "distillation", id="a flipped bit in files of one method"),
    *(pytest.param(harm, "", id=name, marks=pytest.mark.slow) for name, harm in HARM.items()),
]


def stored(results: Path) -> list[Path]:
    """Every stored file that is not derived from the others and not empty."""
    return [path for kind in ("cells", "trainings") for path, data in sorted(contents(results / kind).items()) if data]


@pytest.mark.parametrize(("harm", "only"), CASES)
def test_any_damage_is_noticed_and_repaired_and_takes_nothing_along(
    again: Command, whole: Command, harm: Callable[[Path], None], only: str
) -> None:
    """Every stored file in turn: what reads leaves the cell out with a line, what runs ends in the same files."""
    before = stored(again.results)
    for path in before:
        kind, cell = path.relative_to(again.results).parts[:2]
        if not cell.startswith(only):
            continue
        harm(path)
        method = cell.split(".")[0]
        lost = kind == "cells"
        said = again.leaderboard()
        gone = lost and (path.name != MANIFEST or path.exists())
        assert (said.code, sum("left out: " in line for line in said.lines)) == (0, int(gone)), path
        assert rows(again.results) == [row for row in rows(whole.results) if not (lost and row["method"] == method)]
        if RETRIEVER in path.parts:  # it is read by the next evaluation only
            shutil.rmtree(again.entry("cells", method))
        said = again("distillation", "--quiet")
        assert said.code == 0 and (not gone or f"{path} " in said.line("; it is computed again")), path
        assert again.files() == whole.files(), path
        if not lost:
            shutil.rmtree(again.results / kind / cell)
            shutil.rmtree(again.entry("cells", method))
            assert again("distillation", "--quiet").code == 0
    assert stored(again.results) == before


def test_damaged_checkpoint_starts_the_training_again(
    command: Command, whole: Command, interrupted_at_checkpoint: Callable[[], AbstractContextManager[None]]
) -> None:
    with interrupted_at_checkpoint():
        assert command("distillation").code == 130
    path = command.entry("trainings", "distillation") / CHECKPOINT
    flip_a_bit(path)
    said = command("distillation")
    assert said.code == 0
    assert f"{path} is damaged; it starts again" in said.line("is damaged")
    assert command.files() == whole.files()
