"""Functions called in other processes: several at a time, or one that may end its process or hang."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from operator import methodcaller
from queue import SimpleQueue
from typing import Any, TypeVar

from bench.errors import SMALLER_BATCH, BenchError, CellFailed, describe
from bench.system.interrupt import handled_interrupts

Item = TypeVar("Item")
Result = TypeVar("Result")

SPAWN = multiprocessing.get_context("spawn")
POLL = 0.1
"""Seconds between two checks of a worker. Its end may not close its pipe, which its children may have inherited."""
BLOCKED = (signal.SIG_BLOCK, {signal.SIGINT})
"""Arguments of `pthread_sigmask` in threads and processes that Ctrl-C must not reach."""
LAST = 5.0
"""Seconds that a worker that is ending or killed is waited for."""

_last_sign: Any = None
"""In a worker: the time of its last sign of life, a double in memory shared with its caller."""


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alive() -> None:
    """Give a sign of life to the process that waits for this worker; do nothing in any other process."""
    if _last_sign is not None:
        _last_sign.value = time.monotonic()


def silence(timeout: float) -> CellFailed:
    """Return the error for work that gave no sign of life for `timeout` seconds."""
    longer = f"--timeout {2 * timeout:g}s would wait longer"
    return CellFailed(f"no sign of life for {timeout:g} s, so it was given up; {longer}")


class Worker:
    """A process that calls functions, and that can die or hang without harm to this one. It is replaced after it died
    or was killed. It has this process's environment, working directory, `sys.path`, `sys.argv` and output. It is killed
    with its group when the block ends, and ends when this process dies. A script needs the usual `if __name__ ==
    "__main__"`.
    """

    def __init__(self, timeout: float = math.inf) -> None:
        """Limit the silence of a call to `timeout` seconds and a tenth, so that `watchdog` comes first."""
        self.timeout = timeout
        self.closed = False
        """True if it takes no more calls: another thread ends it."""
        self._process: SpawnProcess | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the worker and return its value; all must be picklable, and importable there. A
        `BenchError` of it is raised here. Raises `CellFailed` for other errors, if the process ended, and if `alive`
        was not called for too long. A Ctrl-C is passed on, a second one kills the process; KeyboardInterrupt is raised
        here at its end.
        """
        process = self.start()
        with self._interrupts_passed_on(process):
            try:
                self._last_sign.value = time.monotonic()
                self._connection.send((function, arguments))
                while not self._connection.poll(POLL):
                    if not process.is_alive() and not self._connection.poll():
                        raise EOFError
                    if time.monotonic() > self._last_sign.value + 1.1 * self.timeout + 1:
                        self.kill()
                        raise silence(self.timeout)
                value, error = self._connection.recv()
            except (EOFError, OSError) as ended:
                process.join(LAST)
                self.kill()
                raise CellFailed(_death(process.exitcode)) from ended
        if error is not None:
            raise error
        return value

    def start(self) -> SpawnProcess:
        """Return the process, a new one unless it is running."""
        if self.closed:
            raise CellFailed("the call that it belongs to has ended")
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._connection, theirs = SPAWN.Pipe()
            self._last_sign = SPAWN.RawValue("d")
            self._process = SPAWN.Process(target=_serve, args=(theirs, self._last_sign))
            with _blocked_interrupts():
                self._process.start()
            theirs.close()
        return self._process

    def interrupt(self) -> None:
        """Send SIGINT to the process. It is blocked until the next call if there is none."""
        process = self._process
        if process is not None and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill the process and its group. Several threads may call this at the same time."""
        process, self._process = self._process, None
        if process is None or process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal a group of dead processes
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()  # it may not have made its group, or have left it
        process.join(LAST)  # a call to a driver may not be interruptible
        self._connection.close()

    @contextmanager
    def _interrupts_passed_on(self, process: SpawnProcess) -> Iterator[None]:
        """Pass a SIGINT within the block on to the worker, and leave it to the usual handler afterwards."""
        pid, interrupts = process.pid, 0
        assert pid is not None

        def on_interrupt(number: int, frame: object) -> None:
            nonlocal interrupts
            interrupts += 1
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if interrupts == 1 else signal.SIGKILL)

        try:
            with handled_interrupts(on_interrupt):
                yield
        finally:
            if interrupts:
                self.kill()  # a late SIGINT would hit its next call
                signal.raise_signal(signal.SIGINT)


class Workers:
    """Several workers, each of which serves one call at a time. All are killed when the block ends."""

    def __init__(self, number: int) -> None:
        self.workers = [Worker() for _ in range(number)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(number, initializer=signal.pthread_sigmask, initargs=BLOCKED)
        for worker in self.workers:
            worker.start()  # before any Ctrl-C, which must reach it
            self._idle.put(worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.closed = True
            worker.kill()

    def submit(self, call: Callable[[Worker], Result]) -> Future[Result]:
        """Run `call` in a thread, with the next idle worker."""
        return self._threads.submit(self._with_idle, call)

    def _with_idle(self, call: Callable[[Worker], Result]) -> Result:
        worker = self._idle.get()
        try:
            return call(worker)
        finally:
            self._idle.put(worker)


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int | None) -> list[Result]:
    """Return `work` of each item, in order. `jobs` workers, by default one per core, work on an item each; a single one
    is this process. The first error ends the others, and is raised as by `Worker.run`.
    """
    jobs = min(jobs or cores(), len(items))
    if jobs <= 1:
        return [work(item) for item in items]
    with Workers(jobs) as workers:
        futures = [workers.submit(methodcaller("run", work, item)) for item in items]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]


def _death(code: int | None) -> str:
    """Return how a process ended, from its exit code."""
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    cure = f"; perhaps memory ran out: {SMALLER_BATCH}" if -code == signal.SIGKILL else ""
    return f"its process was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'}){cure}"


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Block SIGINT within the block, and in the processes that are started in it."""
    mask = signal.pthread_sigmask(*BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _follow_caller() -> None:
    """Let a process miss the signals of the terminal, and end with its caller."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop groups in its background that write

    def end_with(caller: Any) -> None:
        caller.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _serve(connection: Connection, last_sign: Any) -> None:
    """Answer the requests of the caller until it closes the connection or ends."""
    global _last_sign
    _last_sign = last_sign
    _follow_caller()
    with suppress(EOFError, OSError):  # the caller has ended, or will end this process
        while True:
            response = _respond(connection.recv_bytes())
            sys.stdout.flush()
            connection.send_bytes(response)


def _respond(request: bytes) -> bytes:
    """Call the requested function; return its pickled value and error, one of them None."""
    process = os.getpid()
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())  # no Ctrl-C can hit the process outside the call
            function, arguments = pickle.loads(request)  # imports their modules
            return pickle.dumps((function(*arguments), None))
        finally:
            if os.getpid() != process:  # a fork of the function came back; it must not go on as the worker
                os._exit(1)
            signal.pthread_sigmask(*BLOCKED)
    except BaseException as error:
        ended = "" if isinstance(error, Exception) else "it ended with "
        failure = error if isinstance(error, BenchError) else CellFailed(f"{ended}{describe(error)}")
        failure.add_note(traceback.format_exc())
        return pickle.dumps((None, failure))
