"""Disks that are full or read-only and files that are damaged cost nothing else, and are repaired by the next call."""

from __future__ import annotations

import errno
import gzip
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

from bench.results.store import CHECKPOINT, RETRIEVER, RUN, SCORES
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
def mounted(folder: Path) -> Iterator[Callable[[str], None]]:
    """A file system of 4 MiB in memory, and a function that mounts it anew; skips the test if there can be none."""

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")

    folder.mkdir()
    mount("size=4m")
    try:
        yield mount
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


def test_disk_that_is_really_full_costs_one_training(
    command: Command, whole: Command, interrupted_at_checkpoint: Any, tmp_path: Path
) -> None:
    with mounted(tmp_path / "mounted"):
        command = replace(command, results=tmp_path / "mounted" / "results")
        assert command("zero-shot").code == 0
        filler = tmp_path / "mounted" / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        os.truncate(filler, filler.stat().st_size - 300_000)
        said = command("distillation")
        assert (said.code, "No space left on device" in said.line("FAILED distillation.")) == (1, True)
        filler.unlink()
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


def check_refused(command: Command, results: Path, problem: str) -> None:
    said = replace(command, results=results)("optical", "--quiet")
    assert (said.code, len(said.lines)) == (2, 1)
    assert said.line(f"bench: the results folder {results} {problem}").endswith("; choose another with --results")


def test_results_folder_that_cannot_be_made_or_written_is_refused(
    command: Command, whole: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    check_refused(command, tmp_path / "file" / "results", "cannot be made: ")
    with mounted(tmp_path / "mounted") as mount:
        command = replace(command, results=tmp_path / "mounted" / "results")
        shutil.copytree(whole.results, command.results)
        mount("remount,ro")
        check_refused(command, command.results, "cannot be written")
        check_refused(command, command.results / "new", "cannot be made")
        assert command.files() == whole.files()


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        ("methods.distillation.Distillation.loss", {"distillation"}),
        ("bench.running.work.write_run", {"distillation", *REFERENCES}),
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
NOW = "a flipped bit"
SLOW = [pytest.param(harm, id=name, marks=() if name == NOW else pytest.mark.slow) for name, harm in HARM.items()]


def stored(results: Path) -> list[Path]:
    """Every stored file that is not derived from the others and not empty."""
    return [path for kind in ("cells", "trainings") for path, data in sorted(contents(results / kind).items()) if data]


@pytest.mark.parametrize("harm", SLOW)
def test_any_damage_is_noticed_and_repaired_and_takes_nothing_along(
    again: Command, whole: Command, harm: Callable[[Path], None]
) -> None:
    """Every stored file in turn: what reads leaves the cell out with a line, what runs ends in the same files."""
    before = stored(again.results)
    for path in before:
        harm(path)
        kind, cell = path.relative_to(again.results).parts[:2]
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


def test_exchanged_files_are_noticed(again: Command, whole: Command) -> None:
    one, other = again.entry("cells", "distillation"), again.entry("cells", "zero-shot")
    for name in (RUN, SCORES, MANIFEST):
        first, second = (one / name).read_bytes(), (other / name).read_bytes()
        (one / name).write_bytes(second)
        (other / name).write_bytes(first)
        assert sum("left out: " in line for line in again.leaderboard().lines) == 2
        assert again.methods() == {"untrained", "oracle"}
        assert again("distillation").code == 0
        assert again.files() == whole.files()


def test_a_shorter_run_is_noticed(again: Command) -> None:
    """A whole gzip file with fewer queries; the measures that are added are those of the whole run."""
    path = again.entry("cells", "distillation") / RUN
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[: len(lines) // 2]), mtime=0))
    fresh = replace(again, results=again.results.with_name("fresh"))
    for command in (again, fresh):
        assert command("distillation", "--measures", "P@5").code == 0
    added, expected = ([row for row in rows(each.results) if row["measure"] == "P@5"] for each in (again, fresh))
    assert added == expected


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
