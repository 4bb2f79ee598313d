"""Work in several processes: in order, ended by the first error, by Ctrl-C, and with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.errors import BenchError, CellFailed
from bench.processes import in_processes
from bench.progress import Display

FAR = 60.0
"""Seconds: longer than any of these tests may take."""


def square(number: int) -> tuple[int, int]:
    time.sleep(0.2 if number == 1 else 0)  # the first is not the first to finish
    return number**2, os.getpid()


def fail(number: int) -> None:
    if number == 1:
        raise BenchError("a line for the user")
    time.sleep(FAR)


def crash(number: int) -> None:
    if number == 1:
        raise ZeroDivisionError("a mistake")
    time.sleep(FAR)


def die(number: int) -> None:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(FAR)


def linger(folder: Path) -> None:
    """Handles Ctrl-C itself, as a training does, and says that it is there."""
    signal.signal(signal.SIGINT, lambda number, frame: print("heard", file=sys.stderr))
    (folder / str(os.getpid())).touch()
    time.sleep(FAR)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_are_in_the_order_of_the_items(jobs: int) -> None:
    results = in_processes(square, [1, 2, 3], jobs)
    assert [result for result, _ in results] == [1, 4, 9]
    assert (os.getpid() in {process for _, process in results}) == (jobs == 1)
    assert len({process for _, process in results}) == (1 if jobs == 1 else 3)


@pytest.mark.parametrize("items", [[], [3]])
def test_little_work_needs_no_process(items: list[int]) -> None:
    assert in_processes(square, items, 4) == [(item**2, os.getpid()) for item in items]


def test_the_first_error_ends_the_others() -> None:
    started = time.monotonic()
    with pytest.raises(BenchError, match="a line for the user"):
        in_processes(fail, [0, 1, 2], 2)
    assert time.monotonic() - started < FAR / 2


def test_a_mistake_brings_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        in_processes(crash, [0, 1], 2)
    assert "in crash" in caught.value.__notes__[0]


def test_a_killed_process_is_told_in_one_line() -> None:
    with pytest.raises(CellFailed, match=r"process was killed by signal 9.*--jobs 1"):
        in_processes(die, [0, 1], 2)


@contextmanager
def lingering(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A program, a process group of its own, with two processes that wait; and their ids."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background job
        "from pathlib import Path; from bench.processes import in_processes; from test_processes import linger\n"
        f"try: in_processes(linger, [Path({str(folder)!r})] * 2, 2)\n"
        "except KeyboardInterrupt: raise SystemExit(130)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        deadline = time.monotonic() + FAR
        while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process, [int(path.name) for path in folder.iterdir()]
    finally:
        process.kill()
        process.wait()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{process}/stat").exists() or Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"


def wait_until_gone(processes: list[int]) -> bool:
    deadline = time.monotonic() + FAR / 2
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, processes))


def test_ctrl_c_is_for_the_parent_alone(tmp_path: Path) -> None:
    with lingering(tmp_path) as (process, children):
        assert len(children) == 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=FAR) == 130
        assert process.stderr is not None and process.stderr.read() == ""
        assert wait_until_gone(children)


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    with lingering(tmp_path) as (process, children):
        process.kill()
        assert wait_until_gone(children)


def test_lines_of_a_process_begin_with_what_it_is_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    display = Display().about("seed 3")
    display.say("trained")
    with display.stage("encoding", 10, "texts") as stage:
        stage.update(10)
    Display(quiet=True).about("seed 4").say("trained")
    Display(quiet=True).about("seed 4").warn("FAILED")
    assert capsys.readouterr().err == "seed 3: trained\nseed 4: FAILED\n"
