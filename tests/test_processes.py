"""Workers: whatever a function does to its process, the caller gets a value or one clear line and can go on."""

import ctypes
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError, CellFailed
from bench.running.callbacks import watchdog
from bench.system.interrupt import deferred_interrupt
from bench.system.processes import Worker, alive, in_processes

FAR = 60.0
"""Seconds: longer than any of these tests may take."""
PATIENCE = 0.8


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One worker for all tests, each of which may kill its process."""
    with Worker(PATIENCE) as worker:
        yield worker


@pytest.fixture(autouse=True)
def works_again(worker: Worker) -> Iterator[None]:
    yield
    assert worker.run(divmod, 7, 2) == (3, 1)


def answer() -> tuple[int, str, list[str], list[str], str]:
    return os.getpid(), str(Path.cwd()), sys.path, sys.argv, sys.stdin.read()


def test_a_worker_has_what_its_caller_has_but_no_input(worker: Worker) -> None:
    process, *rest = worker.run(answer)
    assert rest == [str(Path.cwd()), [*map(str, sys.path)], sys.argv, ""]
    assert process != os.getpid()


def test_an_exception_comes_with_its_traceback_and_leaves_the_process(worker: Worker) -> None:
    process = worker.run(os.getpid)
    with pytest.raises(CellFailed, match=r"^ZeroDivisionError: ") as caught:
        worker.run(divmod, 1, 0)
    assert "in _respond" in caught.value.__notes__[0]
    with pytest.raises(BenchError) as line:
        worker.run(throw, BenchError("a line"))
    assert str(line.value) == "a line"
    assert worker.run(os.getpid) == process


def throw(error: BaseException) -> None:
    raise error


class Own(BaseException):
    """An exception that `except Exception` lets pass."""


def signal_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(FAR)


@pytest.mark.parametrize(
    ("function", "arguments", "line"),
    [
        (os._exit, (0,), "its process ended with exit code 0"),
        (os._exit, (3,), "its process ended with exit code 3"),
        (signal_itself, (signal.SIGKILL,), r"its process was killed by signal 9 \(Killed\); .*out.*batch_size.*"),
        (signal_itself, (signal.SIGTERM,), r"its process was killed by signal 15 \(Terminated\)"),
        (sys.exit, (0,), "it ended with SystemExit: 0"),
        (signal_itself, (signal.SIGINT,), "it ended with KeyboardInterrupt"),
        (throw, (KeyboardInterrupt(),), "it ended with KeyboardInterrupt"),
        (throw, (Own("of its own"),), "it ended with Own: of its own"),
        (os.closerange, (3, 100), "its process ended with exit code 0"),
    ],
)
def test_an_end_is_told_in_one_line(
    worker: Worker, function: Callable[..., None], arguments: tuple[Any, ...], line: str
) -> None:
    with pytest.raises(CellFailed) as caught:
        worker.run(function, *arguments)
    assert re.fullmatch(line, str(caught.value))


def hang_in_c() -> None:
    """Hang where no signal handler of Python runs and no other thread does, for the interpreter's lock is held."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGINT, signal.SIGTERM})
    ctypes.PyDLL(None).sleep(int(FAR))


def sleep_watched(alarm: bool) -> None:
    with watchdog(PATIENCE):
        if not alarm:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        time.sleep(FAR)


@pytest.mark.parametrize(("function", "arguments"), [(time.sleep, (FAR,)), (hang_in_c, ()), (sleep_watched, (False,))])
def test_silence_is_given_up(worker: Worker, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    with pytest.raises(CellFailed, match=r"^no progress for 0\.8 s, .*--timeout 1\.6s would wait longer$"):
        worker.run(function, *arguments)


def test_what_can_be_interrupted_is_given_up_in_its_process(worker: Worker) -> None:
    process = worker.run(os.getpid)
    with pytest.raises(CellFailed, match=r"^no progress for 0\.8 s"):
        worker.run(sleep_watched, True)
    assert worker.run(os.getpid) == process


def work_long(watched: bool) -> str:
    with watchdog(PATIENCE) as sign:
        for _ in range(22):  # longer than the limit
            (sign if watched else alive)()
            time.sleep(0.1)
            signal.setitimer(signal.ITIMER_REAL, 0)  # only the caller's limit is tested here
    return "done"


@pytest.mark.parametrize("watched", [True, False])
def test_signs_of_life_are_waited_for(worker: Worker, watched: bool) -> None:
    assert worker.run(work_long, watched) == "done"


def fork() -> int:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return os.getpid()


def test_a_fork_that_returns_does_not_go_on(worker: Worker) -> None:
    process = worker.run(os.getpid)
    assert worker.run(fork) == worker.run(os.getpid) == process


def leave_a_child(path: Path, end: bool) -> None:
    """Leave a fork that holds all pipes open, and end or return."""
    child = os.fork()
    if not child:
        time.sleep(FAR)
    path.write_text(str(child))
    if end:
        os._exit(4)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().split()[2] == "Z"


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + FAR / 4
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("end", [True, False])
def test_what_it_started_ends_with_the_worker(tmp_path: Path, end: bool) -> None:
    path = tmp_path / "child"
    with Worker() as worker:
        with pytest.raises(CellFailed, match="ended with exit code 4") if end else nullcontext():
            worker.run(leave_a_child, path, end)
        assert end or not gone(int(path.read_text()))
    assert wait_until(lambda: gone(int(path.read_text())))


def test_values_that_cannot_be_pickled(worker: Worker) -> None:
    with pytest.raises(CellFailed, match=r"TypeError: cannot pickle '_thread\.lock' object"):
        worker.run(threading.Lock)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        worker.run(lambda: None)


def noisy() -> None:
    print("out")
    os.write(2, b"err\n")


def test_output_is_the_callers(capfd: pytest.CaptureFixture[str]) -> None:
    with Worker() as worker:
        worker.run(noisy)
    assert capfd.readouterr() == ("out\n", "err\n")


def ready(folder: Path) -> None:
    path = folder / f"ready-{os.getpid()}"
    path.with_suffix(".tmp").touch()
    path.with_suffix(".tmp").rename(path)


def count_interrupts(folder: Path) -> None:
    """Handle Ctrl-C as a training does: finish the step at the first, and save."""
    with deferred_interrupt() as interrupt:
        ready(folder)
        deadline = time.monotonic() + FAR
        while not interrupt.requested and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)  # a second signal would end this
        (folder / "saved").touch()
    interrupt.obey()


def never_ready(folder: Path) -> None:
    with deferred_interrupt():
        ready(folder)
        time.sleep(FAR)


def swallow(folder: Path) -> None:
    """Ignore every Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready(folder)
    time.sleep(FAR)


def hang(folder: Path) -> None:
    ready(folder)
    hang_in_c()


SCRIPT = """
import signal, sys
from pathlib import Path
import test_processes
from bench.system import processes

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    folder = Path({folder!r})
    try:
        with processes.Worker() as worker:
            {call}
    except KeyboardInterrupt:
        sys.exit(130)
"""


class Script:
    """A running script, the leader of a process group, and its workers."""

    def __init__(self, folder: Path, call: str, workers: int = 1) -> None:
        (folder / "script.py").write_text(SCRIPT.format(folder=str(folder), call=call))
        paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "script.py")],
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert wait_until(lambda: len(list(folder.glob("ready-*[0-9]"))) == workers)
        self.workers = [int(path.name.partition("-")[2]) for path in folder.glob("ready-*")]

    def all_gone(self) -> bool:
        return wait_until(lambda: all(map(gone, self.workers)))


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Start a script that does a call, and wait until its functions run."""
    started: list[Script] = []

    def start(call: str, workers: int = 1) -> Script:
        started.append(Script(tmp_path, call, workers))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


RUN = "worker.run(test_processes.{}, folder)"
IN_PROCESSES = "processes.in_processes(test_processes.{}, [folder, folder], 2)"


@pytest.mark.parametrize("to", [os.kill, os.killpg])
def test_ctrl_c_reaches_a_worker_once_and_is_waited_for(
    script: Callable[..., Script], tmp_path: Path, to: Callable[[int, int], None]
) -> None:
    process = script(RUN.format("count_interrupts")).process
    to(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=FAR)
    assert (process.returncode, errors.count("\n")) == (130, 1), errors
    assert "press Ctrl-C again" in errors
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize("function", ["never_ready", "swallow", "hang"])
def test_a_second_ctrl_c_ends_it(script: Callable[..., Script], tmp_path: Path, function: str) -> None:
    running = script(RUN.format(function))
    for _ in range(2):
        os.killpg(running.process.pid, signal.SIGINT)
        time.sleep(0.3)
    running.process.communicate(timeout=FAR / 4)
    assert running.process.returncode == 130
    assert not (tmp_path / "saved").exists()
    assert running.all_gone()


@pytest.mark.parametrize(("call", "workers"), [(RUN, 1), (IN_PROCESSES, 2)])
def test_workers_end_with_their_caller(script: Callable[..., Script], call: str, workers: int) -> None:
    running = script(call.format("never_ready"), workers)
    running.process.kill()
    assert running.all_gone()


def test_several_threads_may_end_a_worker_and_a_closed_one_starts_no_more() -> None:
    with ThreadPoolExecutor(8) as threads, Worker() as worker:
        for _ in range(3):
            worker.start()
            list(threads.map(lambda _: worker.kill(), range(8)))
        worker.closed = True
        with pytest.raises(CellFailed, match="has ended"):
            worker.run(square, 1)


def square(number: int) -> tuple[int, int]:
    time.sleep(0.2 if number == 1 else 0)  # the first is not the first to finish
    return number**2, os.getpid()


@pytest.mark.parametrize(("items", "jobs"), [([1, 2, 3], 1), ([1, 2, 3], 2), ([3], 4), ([], 4)])
def test_results_are_in_the_order_of_the_items(items: list[int], jobs: int) -> None:
    results = in_processes(square, items, jobs)
    assert [result for result, _ in results] == [item**2 for item in items]
    assert (os.getpid() in {process for _, process in results}) == (min(jobs, len(items)) == 1)


def fail(error: BaseException | int | None) -> None:
    if isinstance(error, int):
        signal_itself(error)
    if error is not None:
        raise error
    time.sleep(FAR)


@pytest.mark.parametrize(
    ("failure", "error", "line"),
    [
        (BenchError("a line for the user"), BenchError, "a line for the user"),
        (ZeroDivisionError("a mistake"), CellFailed, "^ZeroDivisionError: a mistake"),
        (signal.SIGKILL, CellFailed, "its process was killed .*fewer --jobs"),
    ],
)
def test_the_first_error_ends_the_others(failure: Any, error: type[Exception], line: str) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=line):
        in_processes(fail, [None, failure, None], 2)
    assert time.monotonic() - started < FAR / 2


def linger(folder: Path) -> None:
    """Handle Ctrl-C, as a training does."""
    signal.signal(signal.SIGINT, lambda number, frame: print("heard", file=sys.stderr))
    ready(folder)
    time.sleep(FAR)


def test_ctrl_c_ends_several_processes_without_a_word(script: Callable[..., Script]) -> None:
    running = script(IN_PROCESSES.format("linger"), 2)
    os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does
    _, errors = running.process.communicate(timeout=FAR)
    assert (running.process.returncode, errors) == (130, "")
    assert running.all_gone()
